//! Applications whose datagrams nobody sends again.

use quinn_proto::VarInt;
use stoq_adapt::Congestion::Cubic;
use stoq_adapt::{Policy, PolicyDocument, Tier};

use crate::side::DATAGRAM;
use crate::wire::Path;
use crate::world::{App, World};

fn pinned(round: usize) -> Policy {
    let controllers = ["cubic", "bbr3", "newreno", "bbr3"];
    let document = PolicyDocument {
        tier: Some(Tier::ALL[round % 6].name().to_owned()),
        congestion: Some(controllers[round / 2 % 4].to_owned()),
        ..PolicyDocument::default()
    };
    Policy::try_from(&document).expect("a policy")
}

/// Has a flow live by other parameters, as the driver does.
fn change(world: &mut World, round: usize) {
    let now = world.now;
    let flow = &mut world.flows[0];
    let adapter = flow.adapter.as_mut().expect("an adapter");
    let change = if round.is_multiple_of(16) {
        Some(adapter.trigger(&flow.path.measurement(), now))
    } else {
        adapter.set_policy(pinned(round))
    };
    let change = change.expect("other parameters");
    adapter.apply(&change, &flow.path);
    let quic = flow.client.quic().expect("a connection");
    quic.set_send_window(change.parameters.send_window);
    let receive = VarInt::from_u64(change.parameters.receive_window);
    quic.set_receive_window(receive.expect("a window"));
}

#[test]
fn ten_thousand_changes_lose_no_datagram_at_eighty_percent_of_the_path() {
    let mut world = World::new(Path::new(20.0, 20, 1.0));
    // 16 in 10 ms: 15.4 Mbit/s, and 15.8 with what QUIC adds.
    world.add(Cubic, App::Datagrams(16));
    world.adapt(0, Policy::default());
    world.run(1.0);
    for round in 0..10_000 {
        change(&mut world, round);
        world.run(0.001);
    }
    world.flows[0].app = App::Silent;
    world.run(1.0);
    let sent = world.flows[0].client.datagrams.0;
    let received = world.flows[0].server.datagrams.1;
    assert!(sent as usize * DATAGRAM * 8 > 150_000_000, "{sent}");
    assert!(
        (sent - received) * 10_000 < sent,
        "{received} of {sent} arrived"
    );
}
