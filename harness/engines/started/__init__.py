"""A speech server that the harness starts itself: its command, its supervisor, and the engine that measures it."""
