"""Noisy bisection: where between two versions something changed, from paired measurements of some of them."""
