"""The paper's experiments from one command: which trials, their results, what is drawn."""
