//! Compiles the program.

fn main() {
    bpf_object::compile("src/frames.bpf.c");
}
