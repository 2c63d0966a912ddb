"""The API layer: typed calls over a STOQ byte stream, one stream per call.

The registry and the certificate authority speak it, and so may any program of the mesh. It knows
streams only by the protocols in `stoq.api.stream`; the engine's streams are in
`stoq.engine.streams`. Layout of the bytes: docs/wire-format.md, section 7.

Import the modules themselves; importing this package loads none of them.
"""
