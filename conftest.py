"""Loads `harness.runner.pytest_plugin`: the options, the markers and the `measured` fixture.

`tests.order` says which files of tests begin.
"""

pytest_plugins = ["harness.runner.pytest_plugin", "tests.order"]
