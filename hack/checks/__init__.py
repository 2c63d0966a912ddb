"""Checks of the tree that no off-the-shelf tool makes. `python -m checks` runs them all."""
