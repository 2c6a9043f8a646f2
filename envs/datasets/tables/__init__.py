"""Tables in any form and packing; see :mod:`envs.datasets.tables.source`."""
