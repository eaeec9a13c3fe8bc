"""Hypothesis looks for the same examples everywhere, and never at the clock."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, derandomize=True)
settings.load_profile("unit")
