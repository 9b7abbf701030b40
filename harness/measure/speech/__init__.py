"""Judges kept audio: its words, its quality, its loudness. The tools run in an environment of their own."""
