use super::*;

fn policy(json: &str) -> Result<Policy, PolicyError> {
    let document: PolicyDocument = serde_json::from_str(json).expect("a document");
    Policy::try_from(&document)
}

fn refused_field(json: &str) -> &'static str {
    policy(json).expect_err("is refused").field
}

#[test]
fn an_empty_policy_allows_everything_the_table_holds() {
    let policy = policy("{}").expect("is accepted");
    assert_eq!(policy, Policy::default());
    for tier in Tier::ALL {
        assert_eq!(policy.tier(tier), tier);
        assert_eq!(policy.parameters(tier), tier.parameters());
    }
}

#[test]
fn nonsense_is_refused_with_the_field_named() {
    assert_eq!(refused_field(r#"{"tier": "fast"}"#), "tier");
    assert_eq!(refused_field(r#"{"congestion": "vegas"}"#), "congestion");
    assert_eq!(
        refused_field(r#"{"min_tier": "home", "max_tier": "slow"}"#),
        "min_tier"
    );
    assert_eq!(
        refused_field(r#"{"tier": "slow", "min_tier": "home"}"#),
        "tier"
    );
    assert_eq!(
        refused_field(r#"{"tier": "datacenter", "max_tier": "home"}"#),
        "tier"
    );
    assert_eq!(refused_field(r#"{"max_rate": 999999}"#), "max_rate");
    assert_eq!(
        refused_field(r#"{"receive_window": [200000, 100000]}"#),
        "receive_window"
    );
    assert_eq!(
        refused_field(r#"{"send_window": [0, 100000]}"#),
        "send_window"
    );
    assert_eq!(
        refused_field(r#"{"send_window": [20000, 100000000]}"#),
        "send_window"
    );
    assert!(serde_json::from_str::<PolicyDocument>(r#"{"windows": 3}"#).is_err());
}

#[test]
fn an_error_says_the_value_and_the_way_out() {
    let error = policy(r#"{"congestion": "vegas"}"#)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("congestion: ") && error.contains("vegas"),
        "{error}"
    );
    assert!(error.contains("bbr3"), "{error}");
}

#[test]
fn pins_and_bounds_hold_whatever_is_measured() {
    let pinned = policy(r#"{"tier": "home", "congestion": "bbr2"}"#).expect("is accepted");
    let bounded = policy(
        r#"{"min_tier": "home", "max_tier": "enterprise", "receive_window": [1000000, 4000000],
            "send_window": [12000000, 12000000], "max_rate": 8000000}"#,
    )
    .expect("is accepted");
    for measured in Tier::ALL {
        assert_eq!(pinned.tier(measured), Tier::Home);
        assert_eq!(pinned.parameters(measured).congestion, Congestion::Bbr3);
        let tier = bounded.tier(measured);
        assert!((Tier::Home..=Tier::Enterprise).contains(&tier));
        let set = bounded.parameters(tier);
        assert!((1_000_000..=4_000_000).contains(&set.receive_window));
        assert_eq!(set.send_window, 12_000_000);
    }
    assert_eq!(bounded.max_rate, Some(1_000_000));
}

#[test]
fn only_a_dry_run_is_one_and_a_document_is_read_back_as_it_was_written() {
    assert!(!policy(r#"{"mode": "on"}"#).expect("is accepted").dry_run);
    assert!(
        policy(r#"{"mode": "dry-run"}"#)
            .expect("is accepted")
            .dry_run
    );
    assert!(serde_json::from_str::<PolicyDocument>(r#"{"mode": "maybe"}"#).is_err());
    let written = PolicyDocument {
        mode: Mode::DryRun,
        receive_window: Some([1_000_000, 2_000_000]),
        ..PolicyDocument::default()
    };
    let json = serde_json::to_string(&written).expect("JSON");
    let read: PolicyDocument = serde_json::from_str(&json).expect("a document");
    assert_eq!(read, written);
}
