"""The history of runs that trends and change points are read from."""
