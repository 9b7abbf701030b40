"""The report generator: reads what was stored and decided, and shows it. Decides nothing, measures nothing."""
