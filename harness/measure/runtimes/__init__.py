"""Sets of packages with virtual environments of their own, and other revisions of the source."""
