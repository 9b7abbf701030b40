"""Advice from what was measured: which combination to take, and which session options to try further. Pure."""
