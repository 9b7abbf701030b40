"""Reading many runs for the little that is shown of an old one: no columns and no payloads beyond that."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from harness.core.records.repetition import Launch, OutcomeKind, Repetition
from harness.core.records.run import RunOutline
from harness.core.records.verdict import Median, TargetResult, Verdict
from harness.store.earlier import (
    SELF_COMPARED,
    SELF_DEFINITION,
    as_of_now,
    medians_without_self_comparisons,
)
from harness.store.queries import heads_of, payloads_of
from harness.store.schema import LAUNCHES, REPETITIONS, SCENARIOS, SERIES, SUMMARIES, TARGETS, VERDICTS

_MEDIAN = (SUMMARIES.c.n, SUMMARIES.c.median, SUMMARIES.c.reason)


def outlines(connection: Connection, run_ids: Sequence[str]) -> tuple[RunOutline, ...]:
    """The runs in the order asked for; each table is asked once for all of them."""
    heads = heads_of(connection, run_ids)
    keys = [heads[run_id].key for run_id in run_ids]
    formats = {head.key: head.payload_format for head in heads.values()}
    failed = REPETITIONS.c.outcome != OutcomeKind.VALID.value
    launches = payloads_of(connection, LAUNCHES, Launch, formats=formats, order=LAUNCHES.c.key)
    failures = payloads_of(connection, REPETITIONS, Repetition, formats=formats, order=REPETITIONS.c.key, where=failed)
    tries = _tries(connection, keys)
    medians = _medians(connection, keys)
    old = _earlier_similarity(connection, keys)
    verdicts = payloads_of(connection, VERDICTS, Verdict, formats=formats, order=VERDICTS.c.position)
    targets = payloads_of(connection, TARGETS, TargetResult, formats=formats, order=TARGETS.c.position)
    return tuple(
        RunOutline(
            run=heads[run_id].run,
            launches=launches[key],
            repetitions=failures[key],
            tries=tries[key],
            summaries=medians_without_self_comparisons(medians[key], heads[run_id].run.scenarios, old[key]),
            verdicts=as_of_now(verdicts[key]),
            targets=targets[key],
        )
        for run_id, key in zip(run_ids, keys, strict=True)
    )


def _tries(connection: Connection, keys: Sequence[int]) -> Mapping[int, Mapping[str, int]]:
    """Run's number → scenario → how many repetitions were made of it."""
    question = (
        select(REPETITIONS.c.run, SCENARIOS.c.id, func.count())
        .join(SCENARIOS, SCENARIOS.c.key == REPETITIONS.c.scenario)
        .where(REPETITIONS.c.run.in_(keys))
        .group_by(REPETITIONS.c.run, SCENARIOS.c.id)
    )
    found: dict[int, dict[str, int]] = {key: {} for key in keys}
    for key, scenario_id, number in connection.execute(question):
        found[key][scenario_id] = number
    return found


def _medians(connection: Connection, keys: Sequence[int]) -> Mapping[int, tuple[Median, ...]]:
    """Run's number → its medians, in the order in which the summaries were stored."""
    question = (
        select(SUMMARIES.c.run, SCENARIOS.c.id, SERIES.c.metric, *_MEDIAN)
        .join_from(SUMMARIES, SERIES, SERIES.c.key == SUMMARIES.c.series)
        .join(SCENARIOS, SCENARIOS.c.key == SERIES.c.scenario)
        .where(SUMMARIES.c.run.in_(keys))
        .order_by(SUMMARIES.c.run, SUMMARIES.c.position)
    )
    found: dict[int, list[Median]] = {key: [] for key in keys}
    rows: Sequence[Any] = connection.execute(question).all()
    for key, *values in rows:
        found[key].append(Median._make(values))
    return {key: tuple(medians) for key, medians in found.items()}


def _earlier_similarity(connection: Connection, keys: Sequence[int]) -> Mapping[int, Collection[tuple[str, str]]]:
    """Run's number → scenario and metric of the figures that may be of a model against itself."""
    question = (
        select(SUMMARIES.c.run, SCENARIOS.c.id, SERIES.c.metric)
        .join_from(SUMMARIES, SERIES, SERIES.c.key == SUMMARIES.c.series)
        .join(SCENARIOS, SCENARIOS.c.key == SERIES.c.scenario)
        .where(SUMMARIES.c.run.in_(keys), SERIES.c.metric.in_(SELF_COMPARED))
        .where(SUMMARIES.c.definition == SELF_DEFINITION, SUMMARIES.c.n > 0)
    )
    found: dict[int, set[tuple[str, str]]] = {key: set() for key in keys}
    for key, scenario_id, metric in connection.execute(question):
        found[key].add((scenario_id, metric))
    return found
