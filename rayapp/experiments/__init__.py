"""Runs, their training, their scorecards and what is drawn from them."""
