"""The pod's resolver: names of service records are answered here, the rest goes on as it came.

`wire`, `names`, `answers` and `resolv` decide; `upstream` talks to the name servers of the pod and
`server` to its programs.
"""
