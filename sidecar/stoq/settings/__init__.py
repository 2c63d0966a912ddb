"""Typed settings for the programs of STOQ: groups of documented options, read once at start.

`kinds` says what a value may be, `options` declares and reads groups of them. Both are pure; each
program keeps its own groups in its `settings` module and nothing else reads its configuration.
"""
