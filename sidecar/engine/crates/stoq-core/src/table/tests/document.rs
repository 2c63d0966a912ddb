use super::*;
use serde_json::json;

fn refused(edit: impl FnOnce(&mut serde_json::Value)) -> TableError {
    let mut value = serde_json::from_str(EXAMPLE).unwrap();
    edit(&mut value);
    Table::from_json(&value.to_string()).unwrap_err()
}

#[test]
fn every_field_of_a_table_is_read() {
    let table = table();
    assert_eq!(table.version(), 7);
    assert_eq!(table.own().name, "web-0");
    assert_eq!(table.own().namespace, "shop");
    assert_eq!(table.inbound(80), InboundMode::Permissive);
    assert_eq!(table.outbound(80), OutboundMode::Allow);
    assert_eq!(table.workloads().len(), 3);
    assert_eq!(table.services().len(), 2);
    assert_eq!(table.workloads()[2].port, 24008);
}

#[test]
fn a_workload_listens_on_the_mesh_port_unless_it_says_otherwise() {
    assert_eq!(table().workloads()[0].port, stoq_wire::STOQ_PORT);
}

#[test]
fn a_service_port_targets_itself_unless_it_says_otherwise() {
    let table = table();
    let ports = &table.services()[0].ports;
    assert_eq!((ports[0].port, ports[0].target), (5432, 15432));
    assert_eq!((ports[1].port, ports[1].target), (80, 80));
}

#[test]
fn an_error_names_the_field_and_the_value() {
    let error = refused(|t| t["workloads"][1]["spiffe_id"] = json!("spiffe://td/db"));
    assert_eq!(error.field, "workloads[1].spiffe_id");
    assert!(error.problem.contains("spiffe://td/db"), "{error}");

    let error = refused(|t| t["own"]["addresses"][1] = json!("10.0.0.256"));
    assert_eq!(error.field, "own.addresses[1]");
    assert!(error.to_string().contains("10.0.0.256"), "{error}");
}

#[test]
fn an_unknown_field_is_refused() {
    let error = refused(|t| t["probe_port"] = json!([1]));
    assert!(error.problem.contains("probe_port"), "{error}");
    let error = refused(|t| t["workloads"][0]["adresses"] = json!([]));
    assert!(error.field.starts_with("workloads[0]"), "{error}");
}

#[test]
fn a_missing_field_is_named() {
    let error = refused(|t| {
        t["own"].as_object_mut().unwrap().remove("addresses");
    });
    assert!(error.problem.contains("`addresses`"), "{error}");
    assert_eq!(error.field, "own");
}

#[test]
fn an_unknown_mode_lists_the_known_ones() {
    let error = refused(|t| t["outbound"] = json!("open"));
    assert_eq!(error.field, "outbound");
    assert!(error.problem.contains("meshOnly"), "{error}");
}

#[test]
fn port_zero_is_refused_everywhere() {
    for error in [
        refused(|t| t["workloads"][0]["port"] = json!(0)),
        refused(|t| t["services"][0]["ports"][0]["target"] = json!(0)),
        refused(|t| t["probe_ports"][0] = json!(0)),
    ] {
        assert!(error.problem.contains("port 0"), "{error}");
    }
}

#[test]
fn addresses_that_no_workload_can_have_are_refused() {
    for address in [
        "::1",
        "127.0.0.1",
        "::",
        "0.0.0.0",
        "ff02::1",
        "224.0.0.1",
        "::ffff:127.0.0.1",
    ] {
        let error = refused(|t| t["workloads"][0]["addresses"][0] = json!(address));
        assert_eq!(error.field, "workloads[0].addresses[0]", "{address}");
    }
}

#[test]
fn an_address_belongs_to_one_workload() {
    let error = refused(|t| t["workloads"][2]["addresses"] = json!(["fd00::9", "fd00::3"]));
    assert_eq!(error.field, "workloads[2].addresses[1]");
    assert!(error.problem.contains("workloads[1]"), "{error}");
}

#[test]
fn an_address_may_be_repeated_within_one_workload() {
    table_with(|t| t["workloads"][2]["addresses"] = json!(["fd00::4", "fd00::4"]));
}

#[test]
fn a_workload_without_addresses_is_refused() {
    let error = refused(|t| t["workloads"][2]["addresses"] = json!([]));
    assert_eq!(error.field, "workloads[2].addresses");
}

#[test]
fn a_virtual_address_names_one_service_and_no_workload() {
    let error = refused(|t| t["services"][1]["vips"] = json!(["fd53::12", "fd53::10"]));
    assert_eq!(error.field, "services[1].vips[1]");
    let error = refused(|t| t["services"][1]["vips"] = json!(["fd00::3"]));
    assert!(error.problem.contains("workloads[1]"), "{error}");
}

#[test]
fn a_service_has_a_virtual_address_or_is_left_out() {
    let error = refused(|t| t["services"][1]["vips"] = json!([]));
    assert_eq!(error.field, "services[1].vips");
}

#[test]
fn a_virtual_address_is_named_once() {
    let error = refused(|t| t["services"][1]["vips"] = json!(["fd53::12", "fd53::12"]));
    assert_eq!(error.field, "services[1].vips[1]");
}

#[test]
fn an_endpoint_names_a_target_for_every_port_or_for_none() {
    let error = refused(|t| t["services"][0]["endpoints"][1]["targets"] = json!([1]));
    assert_eq!(error.field, "services[0].endpoints[1].targets");
    assert!(error.problem.contains("1 targets for 2 ports"), "{error}");
    let error = refused(|t| t["services"][0]["endpoints"][1]["targets"] = json!([1, 65536]));
    assert_eq!(error.field, "services[0].endpoints[1].targets[1]");
}

#[test]
fn ipv4_is_allowed_unless_the_table_says_otherwise() {
    assert!(!table().ipv6_only());
    assert!(table_with(|t| t["ipv6_only"] = json!(true)).ipv6_only());
}

#[test]
fn a_workload_has_two_to_eight_lanes_or_none() {
    let lanes = |count| table_with(|t| t["workloads"][0]["lanes"] = json!(count));
    let of_first = |table: Table| table.workloads[0].lanes;
    assert_eq!(of_first(table()), 0);
    assert_eq!([0, 2, 8].map(|count| of_first(lanes(count))), [0, 2, 8]);
    for count in [1, 9, 300] {
        let error = refused(|t| t["workloads"][0]["lanes"] = json!(count));
        assert_eq!(error.field, "workloads[0].lanes");
    }
}

#[test]
fn what_is_no_json_is_refused() {
    assert!(Table::from_json("{").is_err());
    let trailing = format!("{EXAMPLE} x");
    assert_eq!(Table::from_json(&trailing).unwrap_err().field, ".");
}

#[test]
fn a_v4_mapped_address_is_the_ipv4_one() {
    let table = table_with(|t| t["workloads"][2]["addresses"] = json!(["::ffff:10.0.0.9"]));
    assert!(table.workload_at("10.0.0.9".parse().unwrap()).is_some());
    assert!(
        table
            .workload_at("::ffff:10.0.0.9".parse().unwrap())
            .is_some()
    );
}

#[test]
fn every_reason_has_a_name_of_its_own_and_a_text() {
    let names: std::collections::HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    assert!(
        Reason::ALL
            .iter()
            .all(|reason| !reason.to_string().is_empty())
    );
}

#[test]
fn a_port_says_its_modes_once() {
    let ports = json!([{"port": 80, "inbound": "strict"}, {"port": 80, "outbound": "meshOnly"}]);
    let table = table_with(|t| t["ports"] = ports);
    assert_eq!(table.inbound(80), InboundMode::Strict);
    assert_eq!(table.outbound(80), OutboundMode::MeshOnly);
    assert_eq!(table.inbound(81), InboundMode::Permissive);
    assert_eq!(table.outbound(81), OutboundMode::Allow);

    let twice = json!([{"port": 80, "inbound": "strict"}, {"port": 80, "inbound": "permissive"}]);
    let error = refused(|t| t["ports"] = twice);
    assert_eq!(error.field, "ports[1].port");
    let error = refused(|t| t["ports"] = json!([{"port": 0, "inbound": "strict"}]));
    assert!(error.problem.contains("port 0"), "{error}");
}
