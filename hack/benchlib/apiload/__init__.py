"""Servers and clients of one unary method, in stoq.api and in grpcio: Python at both ends.

`python -m benchlib.apiload server|client stoq|grpc ...`, as `scenarios/api.py` runs them.
"""
