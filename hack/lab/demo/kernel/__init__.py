"""What the node's kernel does for the pods of the demonstration (`--ebpf`)."""
