"""Loads `harness.runner.pytest_plugin`: the options, the markers and the `measured` fixture."""

pytest_plugins = ["harness.runner.pytest_plugin"]
