//! Two flows on one bottleneck.

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
    ((a + b).powi(2) / (2.0 * (a * a + b * b)), a, b)
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
fn two_newreno_flows_share_alike_and_two_cubic_flows_where_losses_are_frequent() {
    let cases = [
        (NewReno, 0.5, 0.95),
        (NewReno, 1.0, 0.95),
        (NewReno, 4.0, 0.95),
        (Cubic, 0.5, 0.95),
        // quinn-proto's CUBIC converges slowly over a deeper buffer: losses are seconds apart.
        (Cubic, 1.0, 0.8),
        (Cubic, 4.0, 0.6),
    ];
    for (both, products, least) in cases {
        let (jain, a, b) = share(products, both, both);
        assert!(
            jain > least,
            "{both}, {products}: {jain:.3}, {a:.1} and {b:.1} Mbit/s"
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
    ((a + b).powi(2) / (2.0 * (a * a + b * b)), a, b)
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
