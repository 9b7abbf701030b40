"""One run from its plan to its stored result: runs, duels, tuning, calibration and the pytest plugin."""
