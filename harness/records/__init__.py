"""The former place of `harness.core.records`, kept for one release for engines that import from it."""
