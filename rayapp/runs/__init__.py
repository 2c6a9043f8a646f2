"""A training run: its folder, its training, who is told of it, where it is mirrored."""
