"""Charts as SVG: timelines, distributions and audio."""
