"""The objects users write: typed, validated, in the shape of Kubernetes manifests.

`stoq.dev/v1alpha1`: MeshConfig, TransportPolicy, AccessPolicy, ServiceRecord, HopGateway,
Revocation, and for the embedded mode Workload. Pure: no file and no API server is known here.
`manifest.decode` is the entry.
"""
