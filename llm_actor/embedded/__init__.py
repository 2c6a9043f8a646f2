"""The small language model that ships with the package; ``rayapp.lab.small_model`` trains it."""

from pathlib import Path

EMBEDDED = Path(__file__).with_name("weights")
"""Folder of its weights, configuration and tokenizer, as ``save_pretrained`` writes them."""
