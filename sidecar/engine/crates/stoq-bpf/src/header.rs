//! The C header as text, for tests.

const HEADER: &str = include_str!("../../../../../bpf/include/stoq/shared.h");

/// The header's enumerators that begin with `prefix`, in its order.
pub(crate) fn enumerators(prefix: &str) -> Vec<(&'static str, u8)> {
    let lines = HEADER.lines().map(str::trim);
    lines
        .filter_map(|line| line.split_once(" = "))
        .filter(|(name, _)| name.starts_with(prefix))
        .filter_map(|(name, rest)| Some((name, rest.split(',').next()?.parse().ok()?)))
        .collect()
}
