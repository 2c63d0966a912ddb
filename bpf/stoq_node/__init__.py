"""The node agent: what a node's kernel can do for STOQ mesh, and what it is made to enforce.

The file that decides is pure (`capabilities`, `permissions`, `plan`, `tally`); `facts`, `links`,
`podfile`, `enforce` and `uplink` talk to the kernel and the machine.
"""
