use super::inbound::head;
use super::*;
use crate::spiffe::SpiffeId;

fn seen(source: &str, destination: &str, peer: &str) -> Option<SocketAddr> {
    client_address(
        &table(),
        &head(source, destination),
        &SpiffeId::parse(peer).unwrap(),
    )
}

#[test]
fn the_address_that_the_registry_binds_to_the_peer_is_the_client_s() {
    assert_eq!(
        seen("[fd00::3]:4000", "[fd00::2]:80", DB),
        Some(at("[fd00::3]:4000"))
    );
}

#[test]
fn an_address_of_somebody_else_or_of_nobody_is_not_used() {
    assert_eq!(seen("[fd00::3]:4000", "[fd00::2]:80", WEB), None);
    assert_eq!(seen("[fd00::77]:4000", "[fd00::2]:80", DB), None);
    assert_eq!(seen("[::1]:4000", "[fd00::2]:80", DB), None);
}

#[test]
fn an_own_address_is_no_client_s() {
    assert_eq!(seen("[fd00::2]:4000", "[fd00::2]:80", WEB), None);
}

#[test]
fn families_are_not_mixed() {
    assert_eq!(seen("[fd00::3]:4000", "10.0.0.2:80", DB), None);
}
