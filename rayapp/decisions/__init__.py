"""Decisions of a finished run on flows and alerts that nobody has labelled."""
