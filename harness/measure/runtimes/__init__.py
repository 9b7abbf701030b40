"""Separate virtual environments for sets of packages, and checkouts of other revisions of the source."""
