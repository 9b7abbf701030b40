"""Limits of the search for change points. They need no NumPy, so pages without a search import none."""

RESAMPLES = 399
"""Resampled series for one search: the smallest p-value is 1/400."""

BEFORE = 5
"""A step needs at least this many runs before it, to estimate the old level."""
