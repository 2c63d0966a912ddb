"""Capture: how an unmodified application's traffic reaches the sidecar.

`rules` decides (pure), `nft` talks to the kernel through nft(8), `netns` runs either of them in
another network namespace.
"""
