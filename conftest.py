"""Gives pytest the laboratory: the options, the markers and the `measured` fixture of `harness.plugin`."""

pytest_plugins = ["harness.plugin"]
