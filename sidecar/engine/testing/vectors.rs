//! Reading `docs/vectors` (its README describes the files), for the tests of several crates.

use std::path::Path;

use serde_json::Value;

/// A file of the folder.
pub(crate) fn vectors(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../docs/vectors");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The cases of a document under one heading; there is always one at least.
pub(crate) fn cases(document: &Value, under: &str) -> Vec<Value> {
    let found = document[under].as_array().unwrap();
    assert!(!found.is_empty(), "no case under {under}");
    found.clone()
}

/// What is written in hexadecimal digits.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
