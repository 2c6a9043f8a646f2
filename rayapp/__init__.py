"""RLlib parts, experiments, reports and the command line of kirl."""
