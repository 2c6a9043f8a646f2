"""Baselines that policies are compared with: supervised learning and two contextual bandits."""
