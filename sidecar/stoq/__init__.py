"""STOQ mesh: what every part of it shares, from constants to the engine's Python face.

The applications (`stoq_sidecar`, `stoq_operator`, `stoqctl`) rest on this package and never
import each other. Importing `stoq` itself loads nothing: an idle sidecar pays only for the
modules it names.
"""
