use super::*;
use crate::worker::Direction;

fn labels(reporter: Reporter, workload: &str) -> FlowLabels {
    FlowLabels {
        reporter,
        source: Party::default(),
        destination: Party {
            workload: Some(workload.into()),
            ..Party::default()
        },
        service: Some(("db".into(), "shop".into())),
        policy: SecurityPolicy::MutualTls,
        suite: Some(Suite {
            key_exchange: "X25519MLKEM768",
            signature: "Ed25519+FALCON-1024",
            cipher: "AES-256-GCM",
        }),
    }
}

fn workers() -> Vec<Arc<Counters>> {
    vec![Arc::default(), Arc::default()]
}

#[test]
fn workers_do_not_share_a_cache_line() {
    assert!(align_of::<Counters>() >= 128);
}

#[test]
fn counters_of_all_workers_are_added_up() {
    let workers = workers();
    for worker in &workers {
        worker.sent(1, 10, 1200);
        worker.received(3, 400);
        worker.misrouted(true);
        worker.misrouted(false);
        worker.dialled();
        worker.dial_failed();
        worker.established(Duration::from_millis(3), false);
        worker.established(Duration::from_millis(1), true);
        worker.handshake_failed();
        worker.crypto_refused();
        worker.crypto_fell_back();
        worker.handshake_refused();
        worker.handshake_dropped();
        worker.retry_sent();
        worker.reauthentication_sent();
        worker.reauthentication_accepted();
        worker.reauthentication_refused();
        worker.api_opened();
        worker.api_accepted();
        worker.capture_probed();
        worker.plaintext_admitted(Admission::Probe);
        worker.plaintext_admitted(Admission::Permissive);
        worker.passed_through();
        worker.path_judged(Duration::from_micros(3));
        worker.packet_refused();
        worker.stream_token_refused();
        worker.object_sent();
        worker.object_received();
        worker.objects_expired(3);
        worker.signature_made();
        worker.signature_verified();
        worker.signature_refused();
        worker.shard_taken();
        worker.shard_repeated();
        worker.shard_dropped();
        worker.mirror_sent();
        worker.mirrored(7);
        worker.mirror_dropped();
        worker.mirror_skipped();
        worker.mirror_failed();
        worker.mirror_received();
        worker.stripe_begun();
        worker.stripe_lane_joined();
        worker.stripe_lane_lost();
        worker.stripe_lane_refused();
        worker.route_opened();
        worker.route_refused();
        worker.hop_forwarded(1200);
        worker.hop_streamed();
        worker.hop_beside();
        worker.hop_given_up();
        worker.hop_dropped(HopDrop::Full);
        worker.udp_flow_opened(Direction::Outbound, false);
        worker.udp_flow_opened(Direction::Inbound, false);
        worker.udp_flow_opened(Direction::Outbound, true);
        worker.udp_flow_opened(Direction::Inbound, true);
        worker.udp_moved_out(100);
        worker.udp_plain(30);
        worker.udp_moved_in(50);
        worker.udp_streamed();
        worker.udp_dropped(UdpDrop::QueueFull);
        worker.xsk_sent(4);
        worker.xsk_received(3, 1);
        worker.xsk_fell_back(XskFallback::Ring);
        worker.xsk_dropped(XskDrop::Length, 1);
    }
    let sums = Sums::of(&workers);
    let expected = CounterValues {
        udp_datagrams_sent: 20,
        udp_bytes_sent: 2400,
        udp_sends: 2,
        udp_datagrams_received: 6,
        udp_bytes_received: 800,
        udp_receives: 2,
        misrouted_forwarded: 2,
        misrouted_dropped: 2,
        connections_dialled: 2,
        dials_failed: 2,
        handshakes_completed: 4,
        handshakes_resumed: 2,
        handshakes_failed: 2,
        crypto_refused: 2,
        crypto_fallbacks: 2,
        handshakes_refused: 2,
        handshakes_dropped: 2,
        retries_sent: 2,
        reauthentications_sent: 2,
        reauthentications_accepted: 2,
        reauthentications_refused: 2,
        packets_refused: 2,
        stream_tokens_refused: 2,
        api_streams_opened: 2,
        api_streams_accepted: 2,
        capture_probes: 2,
        plaintext_probes: 2,
        plaintext_permitted: 2,
        passthrough: 2,
        captured_udp_outbound: 2,
        captured_udp_inbound: 2,
        captured_udp_plain: 4,
        captured_udp_sent: 2,
        captured_udp_sent_bytes: 200,
        captured_udp_plain_bytes: 60,
        captured_udp_received: 2,
        captured_udp_received_bytes: 100,
        captured_udp_streamed: 2,
        objects_sent: 2,
        objects_received: 2,
        objects_expired: 6,
        signatures_made: 2,
        signatures_verified: 2,
        signatures_refused: 2,
        shards_taken: 2,
        shards_repeated: 2,
        shards_dropped: 2,
        mirrors_sent: 2,
        mirrors_sent_bytes: 14,
        mirrors_dropped: 2,
        mirrors_skipped: 2,
        mirrors_failed: 2,
        mirrors_received: 2,
        stripe_flows: 2,
        stripe_lanes_joined: 2,
        stripe_lanes_lost: 2,
        stripe_lanes_refused: 2,
        routes_opened: 2,
        routes_refused: 2,
        hop_packets: 2,
        hop_bytes: 2400,
        hop_streamed: 2,
        hop_beside: 2,
        hop_given_up: 2,
        af_xdp_frames_received: 6,
        af_xdp_frames_sent: 8,
        af_xdp_frames_malformed: 2,
        adapt_measurements: 2,
        adapt_nanoseconds: 6000,
    };
    assert_eq!(sums.values, expected);
    assert!(sums.udp_dropped.contains(&("queue_full", 2)));
    assert!(sums.hop_dropped.contains(&("queue_full", 2)));
    assert!(sums.xsk_fallbacks.contains(&("ring", 2)));
    assert!(sums.xsk_dropped.contains(&("length", 2)));
    assert_eq!(sums.handshake_seconds.counts.iter().sum::<u64>(), 4);
}

#[test]
fn connections_move_from_tier_to_tier_and_go() {
    let workers = workers();
    for worker in &workers {
        worker.tier_entered(Tier::Standard);
        worker.tier_decided(Tier::Home);
        worker.tier_left(Tier::Standard);
        worker.tier_entered(Tier::Home);
    }
    workers[1].tier_left(Tier::Home);
    let sums = Sums::of(&workers);
    let (home, standard) = (Tier::Home as usize, Tier::Standard as usize);
    assert_eq!(sums.adapt_changes[home], ("home", 2));
    assert_eq!(sums.adapt_connections[home], ("home", 1));
    assert_eq!(sums.adapt_connections[standard], ("standard", 0));
}

#[test]
fn refusals_and_closes_are_counted_by_name() {
    let workers = workers();
    workers[0].refused(Reason::PlaintextStrict);
    workers[1].refused(Reason::PlaintextStrict);
    workers[0].stream_refused(StreamCode::NotMine);
    workers[1].connection_closed(ConnectionCode::Revoked);
    let sums = Sums::of(&workers);
    assert!(sums.refused.contains(&("plaintext_strict", 2)));
    assert!(sums.streams_refused.contains(&("not_mine", 1)));
    assert!(sums.connections_closed.contains(&("revoked", 1)));
    assert_eq!(sums.refused.len(), Reason::ALL.len());
}

#[test]
fn gauges_of_all_workers_are_added_up() {
    let workers = workers();
    let held = Gauges {
        udp_flows: 6,
        connections: 1,
        handshakes: 2,
        relays: 3,
        api_streams: 4,
        shard_streams: 7,
        mirrors: 8,
        stripe_lanes: 10,
        routes: 8,
        buffer_bytes: 5,
        af_xdp_queues: 9,
    };
    workers[0].set_gauges(held);
    workers[1].set_gauges(held);
    let twice = Gauges {
        udp_flows: 12,
        connections: 2,
        handshakes: 4,
        relays: 6,
        api_streams: 8,
        shard_streams: 14,
        mirrors: 16,
        stripe_lanes: 20,
        routes: 16,
        buffer_bytes: 10,
        af_xdp_queues: 18,
    };
    assert_eq!(Sums::of(&workers).gauges, twice);
}

#[test]
fn flows_with_the_same_labels_share_counters_across_workers() {
    let workers = workers();
    for worker in &workers {
        let mut table = FlowTable::new(Arc::clone(worker));
        for _ in 0..2 {
            let flow = table.resolve(labels(Reporter::Source, "db-0"));
            flow.opened();
            flow.moved(100, 7);
            flow.closed();
        }
        table
            .resolve(labels(Reporter::Source, "db-1"))
            .failed(ResponseFlag::Connect);
    }
    let mut flows = Sums::of(&workers).flows;
    flows.sort_by(|a, b| a.destination_workload.cmp(&b.destination_workload));
    assert_eq!(flows.len(), 2);
    assert_eq!((flows[0].opened, flows[0].closed), (4, 4));
    assert_eq!((flows[0].sent_bytes, flows[0].received_bytes), (400, 28));
    assert_eq!(flows[0].failed, []);
    assert_eq!(flows[1].failed, [("CONNECT", 2)]);
}

#[test]
fn a_label_that_is_not_known_says_so() {
    let workers = workers();
    let mut table = FlowTable::new(Arc::clone(&workers[0]));
    table.resolve(FlowLabels {
        policy: SecurityPolicy::Unknown,
        suite: None,
        service: None,
        ..labels(Reporter::Destination, "web")
    });
    let sample = &Sums::of(&workers).flows[0];
    assert_eq!(sample.source_workload, "unknown");
    assert_eq!(sample.source_principal, "unknown");
    assert_eq!(sample.destination_service_name, "unknown");
    assert_eq!(sample.key_exchange, "unknown");
    let json = serde_json::to_value(sample).unwrap();
    assert_eq!(json["reporter"], "destination");
    assert_eq!(json["connection_security_policy"], "unknown");
}

#[test]
fn beyond_the_limit_flows_are_counted_together() {
    let workers = workers();
    let mut table = FlowTable::new(Arc::clone(&workers[0]));
    for number in 0..MAX_FLOW_LABELS + 10 {
        table
            .resolve(labels(Reporter::Source, &number.to_string()))
            .opened();
    }
    let flows = Sums::of(&workers).flows;
    assert_eq!(flows.len(), MAX_FLOW_LABELS + 1);
    let together = flows
        .iter()
        .find(|flow| flow.destination_workload == "unknown")
        .unwrap();
    assert_eq!(together.opened, 10);
}

#[test]
fn counters_may_be_read_while_their_worker_writes() {
    let workers = workers();
    let writer = Arc::clone(&workers[0]);
    let thread = std::thread::spawn(move || (0..50_000).for_each(|_| writer.sent(1, 1, 1)));
    let mut last = 0;
    while !thread.is_finished() {
        let now = Sums::of(&workers).values.udp_sends;
        assert!(now >= last);
        last = now;
    }
    thread.join().unwrap();
    assert_eq!(Sums::of(&workers).values.udp_sends, 50_000);
}

#[test]
fn every_response_flag_has_a_name_of_its_own() {
    let names: std::collections::HashSet<_> = ResponseFlag::ALL.iter().map(|f| f.name()).collect();
    assert_eq!(names.len(), ResponseFlag::ALL.len());
}

#[test]
fn a_snapshot_is_one_document() {
    let workers = workers();
    workers[0].refused(Reason::NotMine);
    let table = service_table();
    let uptime = Duration::from_secs(2);
    let snapshot = crate::snapshot::Snapshot::read(&workers, uptime, &table, &[], 3);
    let json = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(json["workers"], 2);
    assert_eq!(json["table_version"], 7);
    assert_eq!(json["access_log_dropped"], 3);
    assert_eq!(json["refused"]["not_mine"], 1);
    assert_eq!(json["counters"]["udp_sends"], 0);
}

/// A table with a service of two endpoints, one of which has a port of its own.
fn service_table() -> Table {
    let document = serde_json::json!({
        "version": 7, "inbound": "strict", "outbound": "allow",
        "own": {"name": "web-0", "namespace": "shop", "addresses": ["fd00::2"]},
        "services": [{
            "name": "db", "namespace": "shop", "vips": ["fd53::10"],
            "ports": [{"port": 5432, "target": 15432}],
            "endpoints": [{"address": "fd00::3"}, {"address": "fd00::4", "targets": [7]}],
        }],
    });
    Table::from_json(&document.to_string()).unwrap()
}

#[test]
fn failures_are_counted_by_service_and_shown_with_who_is_ejected() {
    let workers = workers();
    let db: (Arc<str>, Arc<str>) = ("db".into(), "shop".into());
    let gone: (Arc<str>, Arc<str>) = ("gone".into(), "shop".into());
    workers[0].failed_over(&db);
    workers[1].failed_over(&db);
    workers[1].ejected(&db);
    workers[0].ejected(&gone);
    let ejected = ["[fd00::3]:80", "[fd00::4]:7", "[fd00::9]:15432"];
    let ejected = ejected.map(|address| address.parse().unwrap());
    let [known, removed] = &Counters::services(&workers, &service_table(), &ejected)[..] else {
        panic!("two services");
    };
    assert_eq!(known.destination_service_name, "db");
    assert_eq!(known.destination_service_namespace, "shop");
    assert_eq!((known.failovers, known.ejections), (2, 1));
    assert_eq!(known.ejected, ["[fd00::4]:7".parse().unwrap()]);
    assert_eq!((removed.failovers, removed.ejections), (0, 1));
    assert_eq!(removed.ejected, []);
}
