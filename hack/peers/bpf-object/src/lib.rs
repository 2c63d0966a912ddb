//! Compiles a program for the kernel with clang, as the engine's crate stoq-bpf does with its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, a C file below the crate whose build script calls this, into an object of its
/// name in OUT_DIR: `src/x.bpf.c` into `x.bpf.o`. STOQ_CLANG names another compiler.
///
/// # Panics
/// When clang is not there or refuses the program, and outside of a build script.
pub fn compile(source: &str) {
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-env-changed=STOQ_CLANG");
    let variable = |name: &str| env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let name = Path::new(source).with_extension("o");
    let name = name.file_name().expect("a source is a file");
    let object = PathBuf::from(variable("OUT_DIR")).join(name);
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
        .args(["-idirafter", &asm, "-c", source, "-o"])
        .arg(&object)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{clang} cannot compile {source}: install clang and libbpf-dev (hack/setup does)"
    );
}
