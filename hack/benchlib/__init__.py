"""Benchmarks of the mesh against what people use today. Run by hack/bench.

What decides is pure and tested in tests/unit/bench: `settings`, `spread`, `report`, `tables`.
What touches the machine: `network`, `processes`, `procfs`, `machine`, `certificates`, `tools`.
A *candidate* is a path between two namespaces, a *scenario* is what is measured over it.
"""
