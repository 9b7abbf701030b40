"""Runs, analyses and stores benchmarks of Kokoro text-to-speech; ARCHITECTURE.md describes the packages."""
