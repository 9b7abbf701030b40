"""The former place of `harness.runner.pytest_plugin`, kept for one release for suites that import from it."""

from harness.runner.pytest_marker import scenarios

__all__ = ["scenarios"]
