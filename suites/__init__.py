"""The benchmark suites, as pytest tests. `pytest suites --collect-only` lists them; `-k` and `-m` select."""
