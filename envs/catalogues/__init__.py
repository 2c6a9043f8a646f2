"""The catalogues that ship with the package, one YAML file each; see :mod:`envs.catalogue_file`."""
