"""Decodes a segment in windows: its prosody is computed whole, its sound a stretch at a time, the first one soon."""
