//! Settings that are wrong, and sockets that cannot be had.

use std::sync::Arc;

use serde_json::json;
use stoq_io::{Engine, EngineError, EngineSettings, LocalPort};

use crate::mesh::{Authority, start};
use crate::net::{WEB, in_namespace};

fn refused(settings: serde_json::Value) -> String {
    match EngineSettings::from_json(&settings.to_string()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{settings} was accepted"),
    }
}

#[test]
fn wrong_settings_are_named_with_their_value() {
    let text = refused(json!({"workrs": 1}));
    assert!(text.contains("workrs"), "{text}");
    let text = refused(json!({"transport": {"mtu": 1000}}));
    assert!(text.contains("transport.mtu = 1000"), "{text}");
    let text = refused(json!({"transport": {"connection_window": 20_000}}));
    assert!(
        text.contains("transport.connection_window = 20000"),
        "{text}"
    );
    let text = refused(json!({"probe_nonce": "xyz"}));
    assert!(text.contains("probe_nonce = xyz"), "{text}");
    let text = refused(json!({"probe_nonce": "zz".repeat(16)}));
    assert!(text.contains("hexadecimal"), "{text}");
    let text = refused(json!({"workers": 65}));
    assert!(text.contains("workers = 65"), "{text}");
}

#[test]
fn ipv6_only_refuses_an_ipv4_listener_by_name() {
    let outbound = json!({"listen": "127.0.0.1:14001"});
    let text = refused(json!({"ipv6_only": true, "outbound": outbound}));
    assert!(text.contains("outbound.listen = 127.0.0.1:14001"), "{text}");
    assert!(text.contains("ipv6_only"), "{text}");
    let mapped = json!({"listen": "[::ffff:10.0.0.1]:14001"});
    refused(json!({"ipv6_only": true, "outbound": mapped}));
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    in_namespace(|| {
        let settings = json!({"outbound": {"listen": "[fd99::1]:14001"}});
        let settings = EngineSettings::from_json(&settings.to_string()).unwrap();
        let tls = Authority::new().workload("web");
        let Err(error) = Engine::start(settings, tls) else {
            panic!("it started")
        };
        assert!(matches!(error, EngineError::Listen { .. }));
        let text = error.to_string();
        assert!(
            text.contains("[fd99::1]:14001") && text.contains("outbound.listen"),
            "{text}"
        );
    });
}

#[test]
fn a_descriptor_that_is_no_socket_is_named() {
    let settings = json!({"stoq": {"listen": "[::]:14008", "fds": [-1]}});
    let settings = EngineSettings::from_json(&settings.to_string()).unwrap();
    let tls = Authority::new().workload("web");
    let Err(error) = Engine::start(settings, Arc::clone(&tls)) else {
        panic!("it started")
    };
    assert!(error.to_string().contains("descriptor -1"), "{error}");
}

#[test]
fn ports_are_told_and_the_capture_probe_is_answered() {
    in_namespace(|| {
        let settings = json!({
            "workers": 2, "stoq": {"listen": format!("[{WEB}]:0")},
            "outbound": {"listen": "[::1]:14002"},
            "probe_nonce": "000102030405060708090a0b0c0d0e0f",
        });
        let engine = start(settings, Authority::new().workload("web"));
        assert!(engine.local_port(LocalPort::Stoq).unwrap() > 0);
        assert_eq!(engine.local_port(LocalPort::Outbound), Some(14002));
        assert_eq!(engine.local_port(LocalPort::Inbound), None);
        let mut probe = std::net::TcpStream::connect("[::1]:14002").unwrap();
        let mut nonce = Vec::new();
        std::io::Read::read_to_end(&mut probe, &mut nonce).unwrap();
        assert_eq!(nonce, (0..16).collect::<Vec<u8>>());
        engine.shutdown();
    });
}

#[test]
fn ipv6_only_takes_no_ipv4_on_a_wildcard_listener() {
    in_namespace(|| {
        let listen = json!({"listen": "[::]:5000"});
        let both = start(
            json!({"workers": 1, "outbound": listen}),
            Authority::new().workload("web"),
        );
        assert!(std::net::TcpStream::connect("10.0.0.1:5000").is_ok());
        both.shutdown();
        let settings = json!({"workers": 1, "ipv6_only": true, "outbound": listen});
        let only = start(settings, Authority::new().workload("web"));
        assert!(std::net::TcpStream::connect("10.0.0.1:5000").is_err());
        assert!(std::net::TcpStream::connect("[fd00::1]:5000").is_ok());
        only.shutdown();
    });
}
