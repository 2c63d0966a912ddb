"""How the control plane scales: thousands of simulated workloads against a real API server.

Pods are objects without a kubelet. Their sidecars are simulated: each is an engine of its own, with
a certificate of its own, that follows the registry over STOQ, many to a process. The operator and
the webhook are the real programs, run on this machine.
"""
