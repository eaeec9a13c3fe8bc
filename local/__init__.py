"""Sluice on this machine: the same program on a local AWS, for demonstration and tests, never production."""
