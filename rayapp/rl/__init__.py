"""What plugs into RLlib: environment runner, module, learner, schedules, algorithm."""
