"""What a run needs to know about the Ray cluster that it runs on."""
