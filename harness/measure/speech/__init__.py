"""Judges kept audio: what is said, how it sounds, how loud it is. The tools run in an environment of their own."""
