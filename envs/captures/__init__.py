"""Packet captures to flows: captures are read here, and NFStream measures their flows."""

from envs.captures.flows import flows_of, write_flows
from envs.captures.tally import MeterTally

__all__ = ["MeterTally", "flows_of", "write_flows"]
