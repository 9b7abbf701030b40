"""The report generator: shows stored runs and their conclusions. It measures nothing and makes no verdicts."""
