"""A real Kubernetes on this machine: the parts behind `hack/cluster` (docs/cluster.md).

Standard library only, so that a cluster needs no Python environment. What decides is pure (`plan`,
`links`, `control`, `node`, `manifests`); what talks to the machine stands apart.
"""
