"""One module per verb; `run` is the command, `EXAMPLES` what its help ends with."""
