"""The small language model that ships with the package, its simulator and its training."""
