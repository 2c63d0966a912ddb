//! Compiles `bpf/programs/*.bpf.c` with clang into this build's own folder. Objects are never
//! committed: what is loaded is what the source says.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each program is one object, named after its file.
const PROGRAMS: [&str; 6] = [
    "xdp_guard",
    "tc_guard",
    "tc_strict",
    "tc_account",
    "xsk_redirect",
    "tc_splice",
];

/// v3 has the atomic compare-and-swap that the guard needs (Linux 5.12). BTF (`-g`) describes the maps.
const FLAGS: [&str; 8] = [
    "-target", "bpfel", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
];

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = manifest.join("../../../../bpf");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo:rerun-if-changed={}", root.display());
    println!("cargo:rerun-if-env-changed=STOQ_CLANG");
    for program in PROGRAMS {
        compile(&root, program, &out.join(format!("{program}.bpf.o")));
    }
}

fn compile(root: &Path, program: &str, object: &Path) {
    let clang = env::var("STOQ_CLANG").unwrap_or_else(|_| "clang".into());
    let source = root.join("programs").join(format!("{program}.bpf.c"));
    // Debian keeps <asm/types.h> apart for each architecture, and clang's bpf target knows none.
    let asm = format!(
        "/usr/include/{}-linux-gnu",
        variable("CARGO_CFG_TARGET_ARCH")
    );
    let done = Command::new(&clang)
        .args(FLAGS)
        .arg("-I")
        .arg(root.join("include"))
        .args(["-idirafter", &asm, "-c"])
        .arg(&source)
        .arg("-o")
        .arg(object)
        .status();
    match done {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{clang} {}: {status}", source.display()),
        Err(error) => panic!(
            "{clang} cannot be run: {error}. Install clang and libbpf-dev (hack/setup does), or name \
             another one in STOQ_CLANG"
        ),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
