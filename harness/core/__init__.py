"""What every layer may use: errors, the clock, files, subprocesses, and the records of a run."""
