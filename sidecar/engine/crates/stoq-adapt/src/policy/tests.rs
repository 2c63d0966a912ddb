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
        refused_field(r#"{"minTier": "home", "maxTier": "slow"}"#),
        "minTier"
    );
    assert_eq!(
        refused_field(r#"{"tier": "slow", "minTier": "home"}"#),
        "tier"
    );
    assert_eq!(
        refused_field(r#"{"tier": "datacenter", "maxTier": "home"}"#),
        "tier"
    );
    assert_eq!(refused_field(r#"{"maxRate": 10}"#), "maxRate");
    assert_eq!(
        refused_field(r#"{"receiveWindow": [200000, 100000]}"#),
        "receiveWindow"
    );
    assert_eq!(
        refused_field(r#"{"sendWindow": [0, 100000]}"#),
        "sendWindow"
    );
    assert_eq!(
        refused_field(r#"{"sendWindow": [20000, 100000000]}"#),
        "sendWindow"
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
        r#"{"minTier": "home", "maxTier": "enterprise", "receiveWindow": [1000000, 4000000],
            "sendWindow": [12000000, 12000000], "maxRate": 8000000}"#,
    )
    .expect("is accepted");
    for measured in Tier::ALL {
        assert_eq!(pinned.tier(measured), Tier::Home);
        assert_eq!(pinned.parameters(measured).congestion, Congestion::Bbr3);
        let tier = bounded.tier(measured);
        assert!((Tier::Home..=Tier::Enterprise).contains(&tier));
        let set = bounded.parameters(tier);
        assert!((1_000_000..=4_000_000).contains(&set.receive_window));
        assert!(set.next.stream_window <= set.receive_window);
        assert_eq!(set.send_window, 12_000_000);
    }
    assert_eq!(bounded.max_rate, Some(1_000_000));
}
