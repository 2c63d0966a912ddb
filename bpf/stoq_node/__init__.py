"""The node agent: what a node's kernel can do for STOQ mesh, and what it is made to enforce.

The file that decides is pure (`capabilities`, `enrolment`, `netlink`, `permissions`, `placing`,
`plan`, `report`, `tally`); `facts`, `links`, `routes`, `podfile`, `enforce` and `uplink` talk to
the kernel and the machine, `clusterpods` and `reporter` to an API server, through `kube` alone.
"""
