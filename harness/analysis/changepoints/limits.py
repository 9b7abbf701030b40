"""How many series the search for change points resamples. It needs no NumPy, so pages without a search import none."""

RESAMPLES = 399
"""Resampled series for one search: the smallest p-value is 1/400."""
