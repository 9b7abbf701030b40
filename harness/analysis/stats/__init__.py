"""Estimates, intervals and tests on numbers. No clock, process, file or network."""
