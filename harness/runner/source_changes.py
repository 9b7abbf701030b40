"""Adds the commits between two revisions to the suspects that name the revisions."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.analysis.conclude import Conclusions
from harness.core.records.run import RunData
from harness.measure.runtimes.commits import WORK_TREE, commits_between
from harness.runner.side_tasks import Explain, Profiler

_ONE = r"([0-9a-f]{7,40}|work tree)"
_REVISIONS = re.compile(rf"source {_ONE}\.\.{_ONE}|revision {_ONE}(?: .*?)? → {_ONE}(?: .*)?")
"""How a suspect names two revisions, and what stands for the work tree."""


def with_commits(explain: Explain, root: Path) -> Explain:
    """An explanation that also names the commits between two revisions of the repository at `root`."""

    @cache
    def enriched(suspect: str) -> tuple[str, ...]:
        found = _REVISIONS.fullmatch(suspect)
        if found is None:
            return (suspect,)
        before, after = ((WORK_TREE if each == "work tree" else each) for each in filter(None, found.groups()))
        commits = commits_between(root, before, after)
        return (suspect, commits) if commits else (suspect,)

    def explained(conclusions: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
        conclusions = explain(conclusions, data, profile)
        verdicts = tuple(
            replace(verdict, suspects=tuple(line for suspect in verdict.suspects for line in enriched(suspect)))
            if any(map(_REVISIONS.fullmatch, verdict.suspects))
            else verdict
            for verdict in conclusions.verdicts
        )
        return replace(conclusions, verdicts=verdicts)

    return explained
