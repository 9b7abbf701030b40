"""What is measured: ordinary pytest. `pytest suites --collect-only` lists it, `-k` and `-m` choose from it."""
