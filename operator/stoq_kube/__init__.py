"""The API server, as operator and node agent see it: kinds, events and requests in `apiserver`,
objects' metadata in `meta`; `kube` alone talks to it.
"""
