"""The project's own benchmarks (`nox -s perf`), and the synthetic data that they and the tests use."""
