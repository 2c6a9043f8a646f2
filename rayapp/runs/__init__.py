"""A training run: its folder, its training, its trackers and its mirror in a bucket."""
