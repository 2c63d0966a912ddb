"""What the mesh adds to the start of a pod, and what an idle sidecar costs, in a cluster."""
