//! The routing table's document, and decisions on whatever table it makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoq_core::table::{Draw, Standing, Table, Transport, decide_outbound};

fuzz_target!(|input: &str| {
    if let Ok(table) = Table::from_json(input) {
        for destination in [
            "[fd00::4]:5432",
            "10.0.0.4:5432",
            "[fd53::10]:80",
            "[::1]:14002",
        ] {
            let destination = destination.parse().expect("an address");
            for (pick, transport) in [
                (0, Transport::Tcp),
                (1, Transport::Udp),
                (u64::MAX, Transport::Tcp),
            ] {
                let draw = Draw {
                    pick,
                    standing: &|_| Standing::default(),
                    tried: &[],
                    meshed: false,
                    transport,
                };
                let _ = decide_outbound(&table, destination, &draw);
            }
        }
    }
});
