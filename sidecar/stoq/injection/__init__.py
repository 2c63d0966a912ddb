"""How a pod becomes a meshed pod: the init containers, their volume and the annotations. Pure.

`decide.decide` is the entry. The admission webhook and `stoqctl inject` both use it, so that what
is injected offline is what the cluster would have injected.
"""
