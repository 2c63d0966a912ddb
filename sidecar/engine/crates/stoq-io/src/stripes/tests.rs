//! What striped flows may have together, and of whom.

use super::*;

fn between(flow: u16, account: &str, lanes: u8) -> Between {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&flow.to_be_bytes());
    Between {
        flow: FlowId(id),
        lanes,
        source: "[fd00::1]:40000".parse().unwrap(),
        destination: "[fd00::2]:80".parse().unwrap(),
        peer: format!("spiffe://mesh.test/ns/shop/sa/{account}")
            .parse()
            .unwrap(),
        key: KeyId([0; 32]),
    }
}

const OWNER: Seat = Seat {
    worker: 0,
    key: 0,
    serial: 1,
};

const SHARE: usize = MOST_THEIRS / 4 * 3;

fn theirs(hub: &StripeHub, flow: usize, account: &str) -> Option<Arc<Striped>> {
    hub.begin_theirs(between(flow as u16, account, 2), OWNER)
}

#[test]
fn one_identity_leaves_room_for_the_flows_of_others() {
    let hub = StripeHub::default();
    let flows: Vec<_> = (0..SHARE)
        .map(|n| theirs(&hub, n, "greedy").unwrap())
        .collect();
    assert!(theirs(&hub, SHARE, "greedy").is_none());
    let others: Vec<_> = (SHARE..MOST_THEIRS)
        .map(|n| theirs(&hub, n, "other").unwrap())
        .collect();
    assert!(theirs(&hub, MOST_THEIRS, "third").is_none());
    hub.end(&others[0]);
    assert!(theirs(&hub, MOST_THEIRS, "third").is_some());
    hub.end(&flows[0]);
    assert!(hub.find(flows[0].between.flow).is_none());
    assert!(theirs(&hub, 0, "greedy").is_some());
}

#[test]
fn windows_have_a_bound_of_which_one_identity_leaves_a_part() {
    let hub = StripeHub::default();
    let whole = 8 * WINDOW_PER_LANE - FIRST_LIMIT;
    let begun: Vec<_> = (0..10)
        .map(|n| hub.begin_theirs(between(n, "greedy", 8), OWNER).unwrap())
        .collect();
    let wide = begun.iter().filter(|striped| striped.wide > 0).count() as u64;
    assert_eq!(wide, WIDE / 4 * 3 / whole);
    assert!(
        begun
            .iter()
            .all(|striped| [0, whole].contains(&striped.wide))
    );
    let other = hub.begin_ours(between(10, "other", 8), OWNER);
    assert_eq!(other.wide, whole);
    begun
        .iter()
        .chain([&other])
        .for_each(|striped| hub.end(striped));
    let flows = hub.lock();
    assert_eq!((flows.wide, flows.ours, flows.theirs.len()), (0, 0, 0));
    assert!(flows.by_peer.is_empty());
}

#[test]
fn an_id_that_is_there_is_not_taken_again() {
    let hub = StripeHub::default();
    let first = theirs(&hub, 1, "web").unwrap();
    assert!(theirs(&hub, 1, "web").is_none());
    assert!(theirs(&hub, 1, "other").is_none());
    assert!(Arc::ptr_eq(&first, &hub.find(first.between.flow).unwrap()));
    hub.end(&first);
    assert!(theirs(&hub, 1, "other").is_some());
}

#[test]
fn so_many_begin_here_and_no_more() {
    let hub = StripeHub::default();
    let begun: Vec<_> = (0..MOST_OURS as u16)
        .map(|n| hub.begin_ours(between(n, "db", 2), OWNER))
        .collect();
    assert!(!hub.has_room());
    // Nobody joins a lane to a flow that began here.
    assert!(hub.find(begun[0].between.flow).is_none());
    hub.end(&begun[0]);
    assert!(hub.has_room());
}
