"""Labelled traffic: one kind of data set per module or package."""
