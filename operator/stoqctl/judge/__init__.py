"""What is right and wrong with a cluster, from facts that were gathered before. Pure.

`facts.Facts` goes in, `finding.Finding` comes out; nothing here talks to anybody or reads a clock.
"""
