//! From rounds to a table.

use std::collections::BTreeMap;

/// What is measured of each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Plain,
    Reserved,
    Token,
    Hash,
    Frame,
}

pub(crate) const PARTS: [Part; 5] = [
    Part::Plain,
    Part::Reserved,
    Part::Token,
    Part::Hash,
    Part::Frame,
];

/// Nanoseconds of sealing and of opening a packet, in the middle of a round's batches.
pub(crate) type Round = BTreeMap<Part, [f64; 2]>;

/// Rows of a page: the parts, then what they add up to.
pub(crate) fn of(size: usize, rounds: &[Round]) -> String {
    let name = |part| match part {
        Part::Plain => "A: sealed and opened, no reserve",
        Part::Reserved => "B: the same with an empty reserve",
        Part::Token => "C: the same with a token in it",
        Part::Hash => "H: the token's hash alone",
        Part::Frame => "F: its frame alone, written and read",
    };
    let mut rows: Vec<_> = PARTS
        .map(|part| row(name(part), rounds, &[(1.0, part)]))
        .into();
    let (plain, reserved) = ((-1.0, Part::Plain), (1.0, Part::Reserved));
    let (token, hash, frame) = ((1.0, Part::Token), (-1.0, Part::Hash), (1.0, Part::Frame));
    rows.extend([
        row("C − A: a token in all", rounds, &[token, plain]),
        row(
            "**C − A − H: a token without its hash**",
            rounds,
            &[token, plain, hash],
        ),
        row(
            "B − A + F: the same by other parts",
            rounds,
            &[reserved, plain, frame],
        ),
    ]);
    let rounds = rounds.len();
    format!(
        "| ns of a packet of {size} bytes, {rounds} rounds | sending | receiving | both |\n\
         |---|---|---|---|\n{}\n",
        rows.join("\n")
    )
}

/// A sum of parts: its median, and the least and the greatest round.
fn row(name: &str, rounds: &[Round], sum: &[(f64, Part)]) -> String {
    let of = |round: &Round, side: usize| -> f64 {
        let parts = sum.iter().map(|(sign, part)| sign * round[part][side]);
        parts.sum()
    };
    let shown = |all: Vec<f64>| {
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.0} ({least:.0} to {most:.0})", median(all))
    };
    let side = |side| shown(rounds.iter().map(|round| of(round, side)).collect());
    let both = shown(
        rounds
            .iter()
            .map(|round| of(round, 0) + of(round, 1))
            .collect(),
    );
    format!("| {name} | {} | {} | {both} |", side(0), side(1))
}

/// Of at least one.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    if all.len() % 2 == 1 {
        all[middle]
    } else {
        all[middle - 1].midpoint(all[middle])
    }
}
