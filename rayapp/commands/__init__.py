"""One thin file per command of ``kirl``."""
