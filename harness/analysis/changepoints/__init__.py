"""Detection of change points in a history of runs. No clock, process, file or network."""
