"""`hack/bench adapt`: one bulk flow over paths that change, with adaptation and without it."""
