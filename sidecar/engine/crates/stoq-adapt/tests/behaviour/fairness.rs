//! Two flows on one bottleneck.

use std::time::Duration;

use stoq_adapt::Congestion::{self, Bbr3, Cubic, NewReno};

use crate::wire::Path;
use crate::world::{App, World};

/// Jain's index of two flows, the second a second later, over the seconds 15 to 30; and their
/// rates in Mbit/s.
fn share(products: f64, first: Congestion, second: Congestion) -> (f64, f64, f64) {
    let mut world = World::new(Path::new(20.0, 40, products));
    world.add(first, App::Greedy);
    world.run(1.0);
    world.add(second, App::Greedy);
    world.run(29.0);
    let (a, b) = (world.goodput(0, 15.0, 30.0), world.goodput(1, 15.0, 30.0));
    (jain(a, b), a, b)
}

fn jain(a: f64, b: f64) -> f64 {
    (a + b).powi(2) / (2.0 * (a * a + b * b))
}

/// Jain's index of two flows over some seconds after the second has joined, the mean of three moments
/// at which it does: the first may just have lost half of its first window, or have settled. Round
/// trips differ by up to 2 ms. Where all are alike to the nanosecond a queue that is full drops what
/// comes at the same place in its rhythm again and again, and that is the same flow's (phase effects:
/// Floyd and Jacobson, 1992).
fn share_after(path: Path, both: Congestion, from: f64, to: f64) -> f64 {
    let joins = [0.6, 1.37, 5.0];
    let indices = joins.map(|joins| {
        let jitter = Duration::from_millis(1);
        let mut world = World::new(Path { jitter, ..path });
        world.add(both, App::Greedy);
        world.run(joins);
        world.add(both, App::Greedy);
        world.run(to);
        let goodput = |flow| world.goodput(flow, joins + from, joins + to);
        jain(goodput(0), goodput(1))
    });
    println!("{both}: {indices:.3?}");
    indices.iter().sum::<f64>() / joins.len() as f64
}

#[test]
fn two_cubic_flows_share_alike_after_ten_seconds() {
    for products in [0.5, 1.0] {
        let index = share_after(Path::new(20.0, 40, products), Cubic, 10.0, 25.0);
        assert!(index > 0.95, "{products}: {index:.3}");
    }
}

#[test]
fn two_cubic_flows_on_a_deep_buffer_take_half_a_minute_for_it() {
    // Half of five products comes back K = 5 s after a loss (RFC 9438, 4.2), and it is losses that
    // even out shares: decision 40.
    let index = share_after(Path::new(20.0, 40, 4.0), Cubic, 30.0, 60.0);
    assert!(index > 0.95, "{index:.3}");
}

#[test]
fn two_bbr_flows_share_alike_whatever_the_buffer() {
    for products in [0.5, 1.0, 4.0] {
        let (jain, a, b) = share(products, Bbr3, Bbr3);
        assert!(
            jain > 0.95,
            "{products}: {jain:.3}, {a:.1} and {b:.1} Mbit/s"
        );
        assert!(a + b > 18.0, "{products}: {a:.1} and {b:.1} Mbit/s");
    }
}

#[test]
fn two_newreno_flows_share_alike_whatever_the_buffer() {
    for products in [0.5, 1.0, 4.0] {
        let (jain, a, b) = share(products, NewReno, NewReno);
        assert!(
            jain > 0.95,
            "{products}: {jain:.3}, {a:.1} and {b:.1} Mbit/s"
        );
    }
}

#[test]
fn bbr_leaves_cubic_and_newreno_their_share_whoever_was_first() {
    for (first, second) in [(Bbr3, Cubic), (Cubic, Bbr3), (Bbr3, NewReno)] {
        for products in [0.5, 1.0, 4.0] {
            let (jain, a, b) = share(products, first, second);
            assert!(
                jain > 0.7,
                "{products}: {jain:.3}, {first} {a:.1} and {second} {b:.1} Mbit/s"
            );
        }
    }
}

/// The same for flows that have run for five seconds when their path becomes six times longer, over
/// the seconds 15 to 30 after that.
fn share_of_a_longer_path(products: f64, first: Congestion, second: Congestion) -> (f64, f64, f64) {
    let mut world = World::new(Path::new(20.0, 10, 2.0));
    world.add(first, App::Greedy);
    world.add(second, App::Greedy);
    world.run(5.0);
    world.set_path(Path::new(20.0, 60, products));
    world.run(30.0);
    let (a, b) = (world.goodput(0, 20.0, 35.0), world.goodput(1, 20.0, 35.0));
    (jain(a, b), a, b)
}

#[test]
fn flows_share_alike_after_their_path_became_longer() {
    for (first, second, least) in [(Bbr3, Bbr3, 0.95), (Bbr3, Cubic, 0.7), (Bbr3, NewReno, 0.7)] {
        for products in [0.5, 1.0, 4.0] {
            let (jain, a, b) = share_of_a_longer_path(products, first, second);
            println!("{first}, {second}, {products}: {jain:.3}, {a:.1} and {b:.1} Mbit/s");
            assert!(
                jain > least,
                "{products}: {jain:.3}, {first} {a:.1} and {second} {b:.1} Mbit/s"
            );
            assert!(a + b > 17.0, "{products}: {a:.1} and {b:.1} Mbit/s");
        }
    }
}
