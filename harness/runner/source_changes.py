"""Names the commits between two revisions beside the suspects that name the revisions."""

import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.analysis.conclude import Conclusions
from harness.core.errors import BenchError
from harness.core.records.run import RunData
from harness.core.records.suspect import Suspect, SuspectKind
from harness.core.records.verdict import Verdict
from harness.measure.runtimes.git import SUBJECT, git
from harness.runner.duel_causes import Profiler
from harness.runner.side_tasks import Explain


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

    def explained(conclusions: Conclusions, data: RunData, profiler: Profiler) -> Conclusions:
        conclusions = explain(conclusions, data, profiler)
        return replace(conclusions, verdicts=tuple(map(enriched, conclusions.verdicts)))

    return explained


MOST_COMMITS, MOST_FILES = 3, 3
"""As many are named; the rest is counted."""
TIMEOUT_S = 10.0
WORK_TREE = "HEAD"
_MARK = "\x1e"


def commits_between(root: Path, before: str, after: str) -> str:
    """A phrase on the commits that lead from `before` to `after`; "" if git cannot tell.

    If `before` is the later one, it names the commits that `after` lacks.
    """
    try:
        added = _commits(root, f"{before}..{after}")
        lacked = [] if added else _commits(root, f"{after}..{before}")
    except (BenchError, subprocess.TimeoutExpired):
        return ""
    found = added or lacked
    if not found:
        return ""
    number = "1 commit" if len(found) == 1 else f"{len(found)} commits"
    shown = "; ".join(found[:MOST_COMMITS])
    rest = f"; and {len(found) - MOST_COMMITS} more" if len(found) > MOST_COMMITS else ""
    return f"{number} {'between' if added else 'fewer'}: {shown}{rest}"


def _commits(root: Path, span: str) -> list[str]:
    """Each commit of a span, the newest first: its hash, subject line and files."""
    output = git(
        root,
        "log",
        "--no-show-signature",
        "--no-merges",
        "--abbrev=7",
        f"--format={_MARK}%h %s",
        "--name-only",
        span,
        "--",
        timeout_s=TIMEOUT_S,
    )
    return [_phrase(commit) for commit in output.split(_MARK) if commit.strip()]


def _phrase(commit: str) -> str:
    head, *files = (line.strip() for line in commit.splitlines() if line.strip())
    head = head if len(head) <= SUBJECT else f"{head[: SUBJECT - 1].rstrip()}…"
    named = ", ".join(files[:MOST_FILES])
    more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
    return f"{head} ({named}{more})" if files else head
