"""What earlier versions stored and this one does not show as it stands."""

import re
from collections.abc import Iterable
from dataclasses import replace

from harness.records.verdict import Verdict

_BARE_CLAIM = re.compile(
    r"(operator \S+|phonemise|inference|postprocess|rest|once loaded|speaking): "
    r"[+-][\d.]+% of (the whole|all nodes' time) \(.*"
    r"|\d+ of \d+ repetitions were disturbed by other work on the machine"
)
"""Suspects of before they had an interval: some moved against their verdict, and all may have been noise."""


def with_proven_suspects(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts without suspects that claim a movement and give no interval for it."""
    return tuple(
        replace(verdict, suspects=tuple(each for each in verdict.suspects if not _BARE_CLAIM.fullmatch(each)))
        if any(map(_BARE_CLAIM.fullmatch, verdict.suspects))
        else verdict
        for verdict in verdicts
    )
