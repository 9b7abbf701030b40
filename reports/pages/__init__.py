"""The HTML site: which pages exist, rendering, and writing only what changed."""
