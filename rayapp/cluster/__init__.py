"""What a run needs to know of the cluster that it is on."""
