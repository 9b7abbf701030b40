"""Adds the commits between two revisions to the suspects that name the revisions."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.analysis.conclude import Conclusions
from harness.core.records.run import RunData
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Verdict
from harness.measure.runtimes.commits import WORK_TREE, commits_between
from harness.runner.side_tasks import Explain, Profiler


def with_commits(explain: Explain, root: Path) -> Explain:
    """An explanation that also names the commits between two revisions of the repository at `root`."""

    @cache
    def commits(before: str, after: str) -> str:
        return commits_between(root, before or WORK_TREE, after or WORK_TREE)

    def enriched(verdict: Verdict) -> Verdict:
        if not verdict.revisions or not (named := commits(*verdict.revisions)):
            return verdict
        suspects = verdict.suspected
        after = verdict.suspect_kinds.index(SuspectKind.SOURCE) + 1
        return verdict.with_suspects((*suspects[:after], Suspect(SuspectKind.SOURCE, named), *suspects[after:]))

    def explained(conclusions: Conclusions, data: RunData, profile: Profiler) -> Conclusions:
        conclusions = explain(conclusions, data, profile)
        return replace(conclusions, verdicts=tuple(map(enriched, conclusions.verdicts)))

    return explained
