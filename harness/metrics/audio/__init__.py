"""Features and similarity of audio signals."""
