"""What outlives a run: the results database, the exports of a run, and the baselines that are reviewed like code."""
