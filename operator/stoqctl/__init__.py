"""`stoqctl`: looks at sidecars and at the store, one file per verb under `verbs`.

It talks to a sidecar's administration port on loopback, inside the pod's network namespace where
need be, and to the directories of the control process. It never talks to the network.
"""
