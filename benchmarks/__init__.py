"""The project's own benchmarks (`nox -s perf`), and the made data that they and the tests run on."""
