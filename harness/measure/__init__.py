"""Obtaining repetitions: worker processes, the conductor that plays them against one another, the machine watched."""
