"""Capture: how an unmodified application's traffic reaches the sidecar.

`plan` says what to capture, `rules` turns it into nftables rules and `listing` compares them with
the kernel's (all pure); `nft` talks to the kernel through nft(8); `netns` runs it in another
network namespace.
"""
