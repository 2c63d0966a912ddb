"""Parts that several tests use; no product code."""
