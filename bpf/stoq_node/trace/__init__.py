"""`stoq-node trace`: what passes the mesh by, and what the kernel does with it, live.

Pure: `parts` (what the machine lacks), `btf` and `layout` (where the kernel keeps things),
`reasons` (of drops), `records` (what the program in the kernel writes), `verdict`, `places` and
`show`. With the machine talk `machine`, `namespaces`, `owners` and `bcc`; `watch` and `command`
bring all of it together.
"""
