"""A synthetic CICIDS2017, drawn from summary statistics of genuine flows."""
