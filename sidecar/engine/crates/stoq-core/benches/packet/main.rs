//! What the end of a packet costs without a network: sealing and opening packets with a reserve, and
//! with a token in it, beside what of that is hashing. `cargo bench -p stoq-core --bench packet`
//! prints tables for `docs/benchmarks/frame.md`; `cargo test` runs it in miniature.

use std::collections::BTreeMap;
use std::time::Duration;

use stoq_core::tls::TlsSettings;
use stoq_wire::extension::PACKET_TOKENS;
use stoq_wire::frame::token::PACKET_TOKEN_LEN;
use stoq_wire::parameters::StoqParameters;

use ends::Ends;
use parts::{Frame, Hash};
use table::{PARTS, Part, Round};

// Sessions as the tests have them; a benchmark needs a part of it.
#[allow(dead_code)]
#[path = "../../tests/suite/mesh.rs"]
mod mesh;
#[allow(dead_code)]
#[path = "../../tests/suite/pair.rs"]
mod pair;

mod ends;
mod parts;
mod table;

/// Bytes of UDP payload, where a link takes 1,500 and 9,000: without the headers of IPv6 and UDP.
const SIZES: [usize; 2] = [1452, 8952];

/// Packets between two looks at the clock.
const BATCH: usize = 64;

/// What a packet took that was sealed, and one that was opened.
type Took = [Duration; 2];

/// How much is done.
struct Effort {
    rounds: usize,
    /// Of each part, in each round.
    batches: usize,
}

const FULL: Effort = Effort {
    rounds: 11,
    batches: 1000,
};

const MINIATURE: Effort = Effort {
    rounds: 1,
    batches: 2,
};

fn main() {
    // What cargo tells a benchmark, and no test.
    let effort = if std::env::args().any(|word| word == "--bench") {
        FULL
    } else {
        MINIATURE
    };
    for size in SIZES {
        let rounds: Vec<Round> = (0..effort.rounds).map(|_| round(size, &effort)).collect();
        println!("{}", table::of(size, &rounds));
    }
}

/// All parts of a packet of this size, in memory of their own.
fn round(size: usize, effort: &Effort) -> Round {
    let reserve = u64::try_from(PACKET_TOKEN_LEN).expect("a token is short");
    let mut plain = Ends::new(size, offering(0, 0));
    let mut reserved = Ends::new(size, offering(0, reserve));
    let mut token = Ends::new(size, offering(PACKET_TOKENS, reserve));
    let covered = token.covered();
    let mut frame = Frame::new(covered.len(), token.agreed());
    let hash = Hash::new(size, covered);
    let round = in_turns(effort, |part| match part {
        Part::Plain => plain.batch(),
        Part::Reserved => reserved.batch(),
        Part::Token => token.batch(),
        Part::Hash => hash.batch(),
        Part::Frame => frame.batch(),
    });
    [plain, reserved, token]
        .iter()
        .for_each(Ends::assert_no_fault);
    round
}

fn offering(extensions: u64, packet_reserve: u64) -> TlsSettings {
    TlsSettings {
        parameters: StoqParameters {
            extensions,
            packet_reserve,
            ..StoqParameters::default()
        },
        ..TlsSettings::default()
    }
}

/// The parts take turns, so that what disturbs a round disturbs all of them alike, and of each part's
/// batches the median counts, which an interruption does not move.
fn in_turns(effort: &Effort, mut batch: impl FnMut(Part) -> Took) -> Round {
    let mut took: BTreeMap<Part, [Vec<f64>; 2]> = BTreeMap::new();
    for _ in 0..effort.batches {
        for part in PARTS {
            let sides = took.entry(part).or_default();
            for (side, took) in sides.iter_mut().zip(batch(part)) {
                side.push(took.as_secs_f64() * 1e9 / BATCH as f64);
            }
        }
    }
    took.into_iter()
        .map(|(part, sides)| (part, sides.map(table::median)))
        .collect()
}
