"""The demonstration: real programs, real sidecars, and a witness that saw no plaintext."""
