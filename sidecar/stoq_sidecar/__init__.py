"""The agent in each pod: identity, discovery, capture, administration and metrics.

It decides and configures; bytes are moved by the engine (`stoq.engine`) and never pass through
Python.
"""
