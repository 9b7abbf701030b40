"""Measures repetitions: the conductor, worker processes, load generation, and observation of the machine."""
