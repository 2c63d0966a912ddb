"""`stoqctl`, also `kubectl stoq`: looks at a mesh, checks and changes it; one file per verb.

Of a cluster it asks the API server (`kube`), and through it the administration ports of sidecars.
Without one it talks to a sidecar of this machine (`admin`), inside the pod's network namespace
where need be, and to the directories of the control process. What is right or wrong is decided in
`judge`, `policy`, `rollout`, `offline` and `redact`, which talk to nobody.
"""
