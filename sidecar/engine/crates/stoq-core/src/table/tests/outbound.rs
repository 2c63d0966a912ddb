use super::*;
use serde_json::json;

#[test]
fn a_workload_of_the_mesh_is_reached_over_stoq_as_the_identity_bound_to_it() {
    let table = table();
    let Outbound::Mesh {
        peer,
        stoq,
        expect,
        destination,
        service,
    } = decide(&table, at("[fd00::4]:80"), 0)
    else {
        panic!("not over the mesh");
    };
    assert_eq!(peer.name, "db-1");
    assert_eq!(stoq, at("[fd00::4]:24008"));
    assert_eq!(expect.as_str(), DB);
    assert_eq!(destination, at("[fd00::4]:80"));
    assert_eq!(service, None);
}

#[test]
fn a_peer_with_both_families_is_dialled_over_ipv6_whichever_was_dialled() {
    let table = table();
    for dialled in ["10.0.0.3:80", "[fd00::3]:80", "[::ffff:10.0.0.3]:80"] {
        let Outbound::Mesh { stoq, .. } = decide(&table, at(dialled), 0) else {
            panic!("{dialled} is not over the mesh");
        };
        assert_eq!(stoq, at("[fd00::3]:14008"), "{dialled}");
    }
}

#[test]
fn a_peer_is_dialled_over_ipv4_where_this_workload_has_no_ipv6() {
    let table = table_with(|t| t["own"]["addresses"] = json!(["10.0.0.2"]));
    let Outbound::Mesh { stoq, .. } = decide(&table, at("[fd00::3]:80"), 0) else {
        panic!("not over the mesh");
    };
    assert_eq!(stoq, at("10.0.0.3:14008"));
}

#[test]
fn a_virtual_address_becomes_an_endpoint_and_its_target_port() {
    let table = table();
    let Outbound::Mesh {
        destination,
        service,
        ..
    } = decide(&table, at("[fd53::10]:5432"), 0)
    else {
        panic!("not over the mesh");
    };
    assert_eq!(destination, at("[fd00::3]:15432"));
    assert_eq!(service.unwrap().name, "db");
}

#[test]
fn every_virtual_address_of_a_service_leads_to_it() {
    let table = table_with(|t| t["services"][0]["vips"] = json!(["fd53::10", "10.96.0.10"]));
    for vip in [
        "[fd53::10]:5432",
        "10.96.0.10:5432",
        "[::ffff:10.96.0.10]:5432",
    ] {
        let Outbound::Mesh { service, .. } = decide(&table, at(vip), 0) else {
            panic!("{vip} is not over the mesh");
        };
        assert_eq!(service.unwrap().name, "db", "{vip}");
    }
}

#[test]
fn an_endpoint_s_own_target_ports_go_before_the_service_s() {
    let table = table_with(|t| {
        t["services"][0]["endpoints"] = json!([{"address": "fd00::3", "targets": [25432, 8080]}]);
    });
    for (dialled, reached) in [(5432, "[fd00::3]:25432"), (80, "[fd00::3]:8080")] {
        let Outbound::Mesh { destination, .. } =
            decide(&table, at(&format!("[fd53::10]:{dialled}")), 0)
        else {
            panic!("not over the mesh");
        };
        assert_eq!(destination, at(reached));
    }
}

#[test]
fn an_endpoint_that_lacks_a_port_is_not_chosen_for_it() {
    let table = table_with(|t| {
        t["services"][0]["endpoints"] = json!([{"address": "fd00::3", "targets": [15432, 0]}]);
    });
    assert!(matches!(
        decide(&table, at("[fd53::10]:5432"), 0),
        Outbound::Mesh { .. }
    ));
    assert_eq!(
        decide(&table, at("[fd53::10]:80"), 0),
        Outbound::Refuse(Reason::NoEndpoint)
    );
    assert!(!table.services()[0].leads_to(at("[fd00::3]:0")));
}

#[test]
fn endpoints_are_chosen_in_proportion_to_their_weights() {
    let table = table();
    let chosen = |pick| match decide(&table, at("[fd53::10]:80"), pick) {
        Outbound::Mesh { peer, .. } => peer.name.clone(),
        other => panic!("{other:?}"),
    };
    let names: Vec<_> = (0..8).map(chosen).collect();
    assert_eq!(names.iter().filter(|name| *name == "db-0").count(), 2);
    assert_eq!(names.iter().filter(|name| *name == "db-1").count(), 6);
}

#[test]
fn an_endpoint_of_weight_zero_is_drained() {
    let table = table_with(|t| t["services"][0]["endpoints"][1]["weight"] = json!(0));
    for pick in 0..5 {
        let Outbound::Mesh { peer, .. } = decide(&table, at("[fd53::10]:80"), pick) else {
            panic!("not over the mesh");
        };
        assert_eq!(peer.name, "db-0");
    }
}

#[test]
fn a_service_without_open_endpoints_is_refused() {
    let table = table_with(|t| t["services"][0]["endpoints"] = json!([]));
    assert_eq!(
        decide(&table, at("[fd53::10]:80"), 0),
        Outbound::Refuse(Reason::NoEndpoint)
    );
}

#[test]
fn a_port_that_the_service_does_not_have_is_refused() {
    assert_eq!(
        decide(&table(), at("[fd53::10]:22"), 0),
        Outbound::Refuse(Reason::NoSuchPort)
    );
}

#[test]
fn only_the_identities_of_a_service_serve_it() {
    let table = table_with(|t| t["services"][0]["spiffe_ids"] = json!([WEB]));
    assert_eq!(
        decide(&table, at("[fd53::10]:80"), 0),
        Outbound::Refuse(Reason::NoAuthorisedEndpoint)
    );
}

#[test]
fn any_of_several_identities_serves_a_service() {
    let table = table_with(|t| t["services"][0]["spiffe_ids"] = json!([WEB, DB]));
    assert!(matches!(
        decide(&table, at("[fd53::10]:80"), 0),
        Outbound::Mesh { .. }
    ));
}

#[test]
fn a_service_that_names_identities_is_not_served_from_outside_the_mesh() {
    let table = table_with(|t| t["services"][1]["spiffe_ids"] = json!([DB]));
    assert_eq!(
        decide(&table, at("[fd53::11]:443"), 0),
        Outbound::Refuse(Reason::NoAuthorisedEndpoint)
    );
}

#[test]
fn the_outside_is_reached_under_allow_only() {
    let open = table();
    assert_eq!(
        decide(&open, at("192.0.2.1:443"), 0),
        Outbound::Passthrough {
            destination: at("192.0.2.1:443"),
            service: None
        }
    );
    let closed = table_with(|t| t["outbound"] = json!("meshOnly"));
    assert_eq!(
        decide(&closed, at("192.0.2.1:443"), 0),
        Outbound::Refuse(Reason::NotInMesh)
    );
}

#[test]
fn a_service_outside_the_mesh_is_reached_under_allow_only() {
    let open = table();
    let Outbound::Passthrough {
        destination,
        service,
    } = decide(&open, at("[fd53::11]:443"), 0)
    else {
        panic!("not passed through");
    };
    assert_eq!(destination, at("[2001:db8::1]:443"));
    assert_eq!(service.unwrap().name, "outside");
    let closed = table_with(|t| t["outbound"] = json!("meshOnly"));
    assert_eq!(
        decide(&closed, at("[fd53::11]:443"), 0),
        Outbound::Refuse(Reason::NotInMesh)
    );
}

#[test]
fn single_ports_of_the_outside_are_reached_or_not_whatever_holds_for_others() {
    let open = table_with(|t| {
        t["outbound"] = json!("meshOnly");
        t["ports"] = json!([{"port": 5432, "outbound": "allow"}]);
    });
    let closed = table_with(|t| t["ports"] = json!([{"port": 5432, "outbound": "meshOnly"}]));
    let refused = Outbound::Refuse(Reason::NotInMesh);
    for (table, to, passes) in [
        (&open, "192.0.2.1:5432", true),
        (&open, "192.0.2.1:443", false),
        (&closed, "192.0.2.1:5432", false),
        (&closed, "192.0.2.1:443", true),
    ] {
        let decided = decide(table, at(to), 0);
        if passes {
            assert!(matches!(decided, Outbound::Passthrough { .. }), "{to}");
        } else {
            assert_eq!(decided, refused, "{to}");
        }
    }
}

#[test]
fn of_a_service_outside_the_mesh_the_port_of_its_endpoints_counts() {
    let with = |port: u16| {
        table_with(|t| {
            t["outbound"] = json!("meshOnly");
            t["ports"] = json!([{"port": port, "outbound": "allow"}]);
            t["services"][1]["ports"] = json!([{"port": 443, "target": 8443}]);
        })
    };
    let by_target = with(8443);
    let Outbound::Passthrough { destination, .. } = decide(&by_target, at("[fd53::11]:443"), 0)
    else {
        panic!("not passed through");
    };
    assert_eq!(destination, at("[2001:db8::1]:8443"));
    assert_eq!(
        decide(&with(443), at("[fd53::11]:443"), 0),
        Outbound::Refuse(Reason::NotInMesh)
    );
}

#[test]
fn a_workload_that_dials_itself_stays_in_its_pod() {
    let table = table();
    for own in ["[fd00::2]:80", "10.0.0.2:80", "[::1]:80"] {
        assert_eq!(
            decide(&table, at(own), 0),
            Outbound::Own {
                destination: at(own)
            }
        );
    }
}

#[test]
fn a_service_may_lead_back_to_the_workload_that_dialled_it() {
    let table = table_with(|t| {
        t["outbound"] = json!("meshOnly");
        t["workloads"].as_array_mut().unwrap().remove(0);
        t["services"][1]["endpoints"] = json!([{"address": "fd00::2"}]);
    });
    assert_eq!(
        decide(&table, at("[fd53::11]:443"), 0),
        Outbound::Own {
            destination: at("[fd00::2]:443")
        }
    );
}

#[test]
fn the_mesh_s_own_ports_are_refused_on_itself_and_on_peers() {
    let table = table();
    for port in OWN_PORTS {
        for host in ["[fd00::2]", "[fd00::3]", "127.0.0.1"] {
            assert_eq!(
                decide(&table, at(&format!("{host}:{port}")), 0),
                Outbound::Refuse(Reason::ForbiddenPort),
                "{host}:{port}"
            );
        }
    }
}

#[test]
fn a_host_outside_the_mesh_may_use_any_port() {
    assert!(matches!(
        decide(&table(), at("192.0.2.1:14001"), 0),
        Outbound::Passthrough { .. }
    ));
}

#[test]
fn before_the_first_table_everything_is_refused() {
    let table = Table::closed();
    assert_eq!(
        decide(&table, at("[fd00::3]:80"), 0),
        Outbound::Refuse(Reason::NotInMesh)
    );
}

#[test]
fn a_port_of_a_service_is_of_one_protocol() {
    let table = table_with(|t| {
        t["services"][0]["ports"] = json!([
            {"port": 53, "target": 5353, "protocol": "udp"},
            {"port": 5432},
        ]);
        t["services"][0]["endpoints"] = json!([{"address": "fd00::4"}]);
    });
    let to = |transport, port| {
        let vip = SocketAddr::new(table.services()[0].vips[0], port);
        match decide_for(transport, &table, vip, 0) {
            Outbound::Mesh { destination, .. } => Ok(destination.port()),
            Outbound::Refuse(reason) => Err(reason),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(to(Transport::Udp, 53), Ok(5353));
    assert_eq!(to(Transport::Tcp, 53), Err(Reason::NoSuchPort));
    assert_eq!(to(Transport::Tcp, 5432), Ok(5432));
    assert_eq!(to(Transport::Udp, 5432), Err(Reason::NoSuchPort));
}
