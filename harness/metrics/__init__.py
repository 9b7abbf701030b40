"""The metrics: each defined once in `registry`, each derived from raw records by pure functions. No I/O, no clock."""
