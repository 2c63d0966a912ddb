"""The control plane: certificate authority, registry, and the stores they rest on.

`embedded` is the whole of it in one process on local files. What decides is pure: `index`,
`attest`, `rotation`, `vip`; what talks is named after whom it talks to.
"""
