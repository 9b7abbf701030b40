"""Kokoro-82M's graph with seeded random weights: a model that any machine can have."""
