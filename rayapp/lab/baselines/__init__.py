"""Contextual bandits without a network: what a flow stream teaches by counting alone."""
