"""The mesh with node agents that capture."""

ON = {"capture.mode": "node"}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
