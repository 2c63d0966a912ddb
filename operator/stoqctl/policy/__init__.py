"""AccessPolicies: what they decide, and how NetworkPolicies become some. Pure."""
