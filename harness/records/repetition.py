"""The former place of `harness.core.records.repetition`, kept for one release."""

from harness.core.records.repetition import *  # noqa: F403
