"""The admission webhook: a process of its own, so that a busy registry never delays a pod's start.

It answers from memory. What it follows at the API server is its own certificate and the namespaces'
labels; a server that does not answer changes nothing here.
"""
