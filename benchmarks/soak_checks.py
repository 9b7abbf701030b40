"""What a soak has to show of the runs, the scheduler and its live pages; `soak_alert_checks` is about alerts."""

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from benchmarks.soak_alert_checks import alert_checks
from benchmarks.soak_evidence import Check, Evidence, read_evidence
from benchmarks.soak_ground import below
from benchmarks.soak_memory import MOST_BYTES
from benchmarks.soak_site import PAGES, Site
from harness.core.records.run import RunKind
from harness.core.records.schedule import Fire, FireOutcome, FireState
from harness.schedule.retention import THINNED
from harness.store.rows import RunRow
from harness.store.runs import RunStore, open_store

FAULTS = ("Traceback (most recent call last)", "this is a fault of the harness")
LATE_S = 25.0
"""How long before the end a live page must have received something: the dashboard speaks every 15 s."""
AROUND_S = 10.0
"""How far a kill or a full disk may lie from the run that it has ended."""
NOT_MEASURED = (FireOutcome.FAILED, FireOutcome.INTERRUPTED, FireOutcome.SKIPPED)


def all_checks(site: Site, *, exit_code: int, settled: bool) -> list[Check]:
    """Every check, in the order of the table. The scheduler has been stopped, with this exit code."""
    left = [f"process {each.pid}: {' '.join(each.cmdline())[:120]}" for each in below()]
    with open_store(site.store) as store:
        evidence = read_evidence(site, store)
        checks = [_disturbed(site, evidence), *_runs(evidence, store), *alert_checks(evidence, settled=settled)]
    return [*checks, _pages(site), *_scheduler(site, exit_code, left)]


def _disturbed(site: Site, evidence: Evidence) -> Check:
    counts = Counter(f"{each.kind} {each.what}" for each in evidence.events)
    filled = counts["disk filled"]
    figure = "; ".join(f"{count} × {what}" for what, count in sorted(counts.items()))
    if site.ballast is None:
        figure += "; the disk was not filled: this system lets nobody mount one"
    holds = None if site.ballast is None else filled > 0 and any("kill" in what for what in counts)
    return Check("disturbed", holds, figure)


def _runs(evidence: Evidence, store: RunStore) -> Iterator[Check]:
    fires = evidence.fires
    outcomes = Counter(fire.outcome.value for fire in fires if fire.outcome)
    open_ones = [f"{fire.job} due {fire.due_at:.0f} is {fire.state.value}" for fire in fires if _stuck(fire, evidence)]
    figure = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    yield Check("every due time ended", not open_ones, f"{len(fires)}: {figure}", open_ones)

    wrong = []
    covered = {}
    for job, (period_s, next_at) in evidence.periods.items():
        own = [fire for fire in fires if fire.job == job]
        covered[job] = sum(1 + fire.missed for fire in own)
        expected = round((next_at - min(fire.due_at for fire in own)) / period_s) if own else -1
        wrong += [f"{job}: {covered[job]} covered, {expected} were due"] if covered[job] != expected else []
    figure = ", ".join(f"{job} {count}" for job, count in covered.items())
    yield Check("each due time is covered once", not wrong, figure, wrong)

    causeless = [f"{fire.job} at {fire.started_at}: {fire.reason}" for fire in fires if not _explained(fire, evidence)]
    yield Check(
        "what failed has a cause", not causeless,
        f"{sum(fire.outcome in NOT_MEASURED for fire in fires)} not measured, {len(causeless)} of them without a cause",
        causeless,
    )  # fmt: skip

    lost = list(_lost(evidence, store))
    blocks = sum(row.blocks for row in evidence.rows.values())
    figure = f"{len(evidence.rows)} runs with {blocks} blocks, {len(lost)} faults"
    yield Check("what was stored is there and intact", not lost, figure, lost)

    twice = list(_twice(evidence))
    yield Check("nothing is measured twice or at once", not twice, f"{len(twice)} faults", twice)


def _stuck(fire: Fire, evidence: Evidence) -> bool:
    """Whether a due time was queued long ago and has not ended. The end of the soak leaves what it stopped."""
    return fire.state is not FireState.ENDED and fire.queued_at < evidence.stopping_at - 600


def _explained(fire: Fire, evidence: Evidence) -> bool:
    if fire.outcome not in NOT_MEASURED or fire.ended_with_scheduler:
        return True
    began, ended = (fire.started_at or fire.queued_at) - AROUND_S, (fire.ended_at or fire.queued_at) + AROUND_S
    return any(since <= ended and until >= began for since, until in evidence.disturbances)


def _lost(evidence: Evidence, store: RunStore) -> Iterator[str]:
    """What the logs say was stored and is not in the store, and what is in it incomplete."""
    with closing(sqlite3.connect(evidence.store_file)) as connection:
        [(found,)] = connection.execute("PRAGMA integrity_check").fetchall()[:1]
    if found != "ok":
        yield f"the database: {found}"
    for run_id, blocks in evidence.logged_blocks.items():
        row = evidence.rows.get(run_id)
        if row is None:
            yield f"{run_id} is not in the store"
        elif row.blocks < len(blocks):
            yield f"{run_id} has {row.blocks} blocks, and its log names {len(blocks)}"
    for fire in evidence.fires:
        if fire.outcome and fire.outcome.measured and not fire.confirms:
            row = evidence.rows.get(fire.run_id)
            if row is None or not row.status.is_finished:
                yield f"{fire.job} is {fire.outcome.value}, and its run {fire.run_id or 'none'} is not finished"
    for row in evidence.rows.values():
        yield from _incomplete(row, store)


def _incomplete(row: RunRow, store: RunStore) -> Iterator[str]:
    data = store.load(row.id)
    if len(data.blocks) != row.blocks:
        yield f"{row.id}: {len(data.blocks)} of {row.blocks} blocks can be read"
    if len({(block.launch, block.block) for block in data.blocks}) != len(data.blocks):
        yield f"{row.id}: a block is stored twice"
    thinned = any(THINNED in note for note in data.run.notes)
    if not thinned and len(data.repetitions) != row.repetitions:
        yield f"{row.id}: {len(data.repetitions)} of {row.repetitions} repetitions can be read"
    if row.status.is_finished and row.blocks and not data.summaries:
        yield f"{row.id}: finished without a summary"


def _twice(evidence: Evidence) -> Iterator[str]:
    runs = Counter(fire.run_id for fire in evidence.fires if fire.run_id)
    yield from (f"{run_id} belongs to {count} due times" for run_id, count in runs.items() if count > 1)
    own = [row for row in evidence.rows.values() if row.kind is not RunKind.REPLAY]
    yield from (f"no due time has the run {row.id} ({row.status.value})" for row in own if row.id not in runs)
    ended = sorted((row.started_at, row.ended_at, row.id) for row in own if row.ended_at and row.status.is_finished)
    for (_, until, one), (since, _, other) in pairwise(ended):
        if since < until:
            yield f"{other} began while {one} was measured"


def _pages(site: Site) -> Check:
    pages = site.audience.pages
    ended_at = next(each.at for each in reversed(site.events) if each.kind == "stop")
    wrong = [
        f"page {number}: {page.refused} refused, {page.silences} silent, {page.broken} broken, {late_s:.0f} s late"
        for number, page in enumerate(pages)
        for late_s in [ended_at - float(page.last.get("now", 0))]
        if page.refused or page.silences or page.broken or late_s > LATE_S
    ]
    events, connections = sum(page.events for page in pages), sum(page.connections for page in pages)
    figure = f"{PAGES} live pages, {connections} connections, {events} events"
    return Check("every live page is kept up to date", not wrong and len(pages) == PAGES, figure, wrong)


def _scheduler(site: Site, exit_code: int, left: Sequence[str]) -> Iterator[Check]:
    slope, memory = site.memory.slope(), site.memory
    yield Check("the scheduler's memory is flat", slope.flat, str(slope))
    figure = (
        f"at most {memory.highest / 1e6:.0f} MB, {memory.most_threads} threads and {memory.most_files} open files "
        f"with {PAGES} live pages"
    )
    few = memory.most_threads <= PAGES + 20 and memory.most_files <= PAGES + 60 and memory.highest <= MOST_BYTES
    yield Check("memory, threads and open files are few", few, figure)
    yield Check(
        "the scheduler ends only when it is ended", not site.unexpected,
        f"{site.starts} starts, {len(site.unexpected)} unexpected ends", site.unexpected,
    )  # fmt: skip
    faults = list(_faults(site))
    yield Check("no fault in a log", not faults, f"{len(faults)} in {len(list(_logs(site)))} logs", faults)
    ended = exit_code in (0, 1, 3, 4)
    figure = f"exit code {exit_code}, {len(left)} processes left"
    yield Check("SIGTERM leaves nothing behind", ended and not left, figure, left)


def _logs(site: Site) -> Iterator[Path]:
    yield site.log
    yield from sorted((site.root / ".kokoro-bench" / "schedule").glob("*.log"))


def _faults(site: Site) -> Iterator[str]:
    for log in _logs(site):
        for line in log.read_text(errors="replace").splitlines():
            if any(fault in line for fault in FAULTS):
                yield f"{log.name}: {line[:160]}"
