"""Searches settings of knowledge infusion: lambda schedules first of all."""
