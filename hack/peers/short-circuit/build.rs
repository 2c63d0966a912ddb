//! Compiles the program.

fn main() {
    bpf_object::compile("src/short_circuit.bpf.c");
}
