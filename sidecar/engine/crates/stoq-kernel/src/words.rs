//! Enumerations as words: the header's names in small letters.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use stoq_bpf::{Direction, GuardMode, Mode, Reason, Stage};

/// The word for a name of the header.
pub(crate) fn word(name: &str) -> String {
    name.to_ascii_lowercase()
}

pub(crate) fn direction(text: &str) -> PyResult<Direction> {
    find("direction", text, Direction::ALL, Direction::name)
}

pub(crate) fn mode(text: &str) -> PyResult<Mode> {
    find("mode", text, Mode::ALL, Mode::name)
}

pub(crate) fn reason(text: &str) -> PyResult<Reason> {
    find("reason", text, Reason::ALL, Reason::name)
}

pub(crate) fn stage(text: &str) -> PyResult<Stage> {
    match text {
        "xdp" => Ok(Stage::Xdp),
        "tc" => Ok(Stage::Tc),
        _ => Err(PyValueError::new_err(format!(
            "stage: {text:?} is neither \"xdp\" nor \"tc\""
        ))),
    }
}

pub(crate) fn guard_mode(text: &str) -> PyResult<GuardMode> {
    match text {
        "native" => Ok(GuardMode::Native),
        "generic" => Ok(GuardMode::Generic),
        "tc" => Ok(GuardMode::Tc),
        _ => Err(PyValueError::new_err(format!(
            "mode: {text:?} is not \"native\", \"generic\" or \"tc\""
        ))),
    }
}

/// IP protocol numbers.
pub(crate) fn protocol(text: &str) -> PyResult<u8> {
    match text {
        "tcp" => Ok(6),
        "udp" => Ok(17),
        _ => Err(PyValueError::new_err(format!(
            "protocol: {text:?} is neither \"tcp\" nor \"udp\""
        ))),
    }
}

fn find<T: Copy>(
    what: &str,
    text: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> PyResult<T> {
    let found = all.iter().copied().find(|&one| word(name(one)) == text);
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|&one| word(name(one))).collect();
        PyValueError::new_err(format!("{what}: {text:?} is none of {}", words.join(", ")))
    })
}
