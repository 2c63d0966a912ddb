"""A laboratory on one machine: network namespaces as pods, real programs in them, and a witness.

Used by the demonstration, the benchmarks and the tests in network namespaces. It needs root, or a
user namespace in which it is root (see `rootless`). Nothing it makes touches the machine's own
network namespace, everything it makes is written down before it is made, and taking it down
removes exactly that.
"""
