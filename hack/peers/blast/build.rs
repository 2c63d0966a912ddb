//! Compiles the program with clang, as the engine's crate stoq-bpf does with its own.

use std::env;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/frames.bpf.c";

fn main() {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=STOQ_CLANG");
    let variable = |name: &str| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let object = PathBuf::from(variable("OUT_DIR")).join("frames.bpf.o");
    let asm = format!(
        "/usr/include/{}-linux-gnu",
        variable("CARGO_CFG_TARGET_ARCH")
    );
    let clang = env::var("STOQ_CLANG").unwrap_or_else(|_| "clang".into());
    let flags = [
        "-target", "bpfel", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
    ];
    let status = Command::new(&clang)
        .args(flags)
        .args(["-idirafter", &asm, "-c", SOURCE, "-o"])
        .arg(&object)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{clang} cannot compile {SOURCE}: install clang and libbpf-dev (hack/setup does)"
    );
}
