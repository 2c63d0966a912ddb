//! Peers that say of our packets what they like: which have arrived, when, and with which marks.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quinn_proto::RttEstimator;
use quinn_proto::congestion::ControllerFactory;
use stoq_adapt::Congestion::Bbr3;
use stoq_adapt::{Adapter, AdaptiveConfig, Parameters, PathHandle, Policy, PolicyDocument, Tier};

use crate::record::{Event, Recorded, Tape};
use crate::side::{INITIAL_WINDOW, MTU};
use crate::wire::Path;
use crate::world::{App, World};

/// Bytes: the widest window that the policy allows.
const MOST: u64 = 3_000_000;

/// Bits per second: the highest rate.
const RATE: u64 = 80_000_000;

fn policy() -> Policy {
    let document = PolicyDocument {
        min_tier: Some("home".to_owned()),
        max_tier: Some("performance".to_owned()),
        max_rate: Some(RATE),
        receive_window: Some([100_000, MOST]),
        send_window: Some([50_000, MOST]),
        ..PolicyDocument::default()
    };
    Policy::try_from(&document).expect("a policy")
}

/// What quinn-proto estimates of round trips, over a path on which they differ: nothing but a
/// connection makes these.
fn estimates() -> &'static [RttEstimator] {
    static SEEN: OnceLock<Vec<RttEstimator>> = OnceLock::new();
    SEEN.get_or_init(|| {
        let tape = Tape::default();
        let jitter = Duration::from_millis(40);
        let mut world = World::new(Path {
            jitter,
            ..Path::new(10.0, 1, 4.0)
        });
        let factory = Recorded {
            congestion: Bbr3,
            initial_window: INITIAL_WINDOW,
            tape: tape.clone(),
        };
        world.add_with(Arc::new(factory), App::Greedy);
        world.run(0.5);
        let told = tape.lock().expect("nobody panicked");
        let rtt = |event: &Event| match event {
            Event::Ack { rtt, .. } => Some(*rtt),
            _ => None,
        };
        told.iter().filter_map(rtt).collect()
    })
}

#[derive(Debug, Clone)]
enum Said {
    /// Nothing: we send.
    Sent(u64),
    /// That it has what was sent so many microseconds ago.
    Arrived(u64, u64, prop::sample::Index),
    /// That this was all.
    End(u64, bool),
    /// By its silence, that it is lost; without bytes, that it was marked.
    Lost(u64, u64, bool),
    /// That packets of this size arrive.
    Size(u16),
}

fn said() -> impl Strategy<Value = Said> {
    let age = 0_u64..5_000_000;
    let bytes = 0_u64..1 << 20;
    prop_oneof![
        4 => bytes.clone().prop_map(Said::Sent),
        4 => (age.clone(), bytes.clone(), any::<prop::sample::Index>())
            .prop_map(|(age, bytes, rtt)| Said::Arrived(age, bytes, rtt)),
        4 => (0_u64..1 << 24, any::<bool>()).prop_map(|(flying, dry)| Said::End(flying, dry)),
        1 => (age, bytes, any::<bool>()).prop_map(|(age, bytes, long)| Said::Lost(age, bytes, long)),
        1 => (1200_u16..9000).prop_map(Said::Size),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever it says, and however it changes its mind, connections stay within the policy.
    #[test]
    fn no_peer_gets_us_to_send_more_or_faster_than_the_policy_allows(
        story in proptest::collection::vec((0_u64..50_000, said()), 1..400)
    ) {
        let begun = Instant::now();
        let mut now = begun + Duration::from_secs(10);
        let config = Arc::new(AdaptiveConfig::new(Bbr3, INITIAL_WINDOW, 1));
        let mut controller = config.build(now, MTU);
        let path = PathHandle::of(&*controller).expect("our controller");
        let mut adapter = Adapter::new(policy(), now);
        adapter.begin(&path, Parameters { gso_segments: 64, ..Tier::Standard.parameters() });
        // As quinn-proto counts it.
        let mut flying = 0;
        for (gap, said) in story {
            now += Duration::from_micros(gap);
            let ago = |age: u64| now - Duration::from_micros(age);
            match said {
                Said::Sent(bytes) => {
                    flying += bytes;
                    controller.on_sent(now, bytes, 1);
                }
                Said::Arrived(age, bytes, rtt) => {
                    controller.on_ack(now, ago(age), bytes, false, rtt.get(estimates()));
                }
                Said::End(in_flight, dry) => {
                    flying = in_flight;
                    controller.on_end_acks(now, in_flight, dry, Some(1));
                }
                Said::Lost(age, bytes, long) => {
                    flying = flying.saturating_sub(bytes);
                    controller.on_congestion_event(now, ago(age), long, bytes);
                }
                Said::Size(mtu) => controller.on_mtu_update(mtu),
            }
            if let Some(change) = adapter.observe(&path.measurement(), now) {
                adapter.apply(&change, &path);
            }
            let tier = adapter.tier();
            prop_assert!((Tier::Home..=Tier::Performance).contains(&tier), "{tier}");
            let set = adapter.parameters();
            prop_assert!(set.receive_window <= MOST && set.send_window <= MOST, "{set:?}");
            prop_assert!(path.window() <= MOST, "{} in flight", path.window());
            // Without end only while whatever is sent next stays below it.
            let fits = flying + path.send_quantum() <= MOST;
            prop_assert!(fits || controller.window() <= MOST, "{flying} in flight");
            let rate = path.pacing_rate().unwrap_or(u64::MAX);
            prop_assert!((1..=RATE / 8).contains(&rate), "{rate} bytes per second");
            prop_assert!(path.send_quantum() > 0);
        }
    }
}
