"""Objects from one Python program to another, in shards over one or more connections.

`python -m benchlib.objectload receive|send ...`, as `scenarios/shards.py` runs them.
"""
