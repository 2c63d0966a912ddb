"""What the kernel programs of the node cost and save."""
