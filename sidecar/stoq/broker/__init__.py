"""The socket broker: privileged sockets opened for a sidecar that has no privileges.

`protocol` is pure, `server` runs in the node agent (or in the control process of the embedded
mode), `client` in the sidecar. docs/broker.md is the specification.
"""
