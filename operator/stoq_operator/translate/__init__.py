"""From objects of the API server, as plain dicts, to records. Pure, one module per kind."""
