"""What engines counted, in sentences, from records that are made up."""

from dataclasses import replace

import pytest

from harness.analysis.engine_notes import engine_notes
from harness.core.records.repetition import EngineCounters
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest
from tests.conftest import Laboratory

SHORT = "scripted.cpu.tdefault/whole/chars-12/af_heart"
TWO = EngineCounters(routes=(("cpu:1", 3), ("cpu:1", 2)), misses=5)
CACHED = EngineCounters(
    routes=(("cpu:2", 1),), hits=6, misses=1, joined=3, evicted=2, cache_bytes=3 << 20, cache_limit=8 << 20
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    return lab.run(requests=[ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",))], launches="2", blocks="2").data


def counted(data: RunData, account: EngineCounters) -> RunData:
    return replace(data, repetitions=tuple(replace(each, account=account) for each in data.repetitions))


def test_pieces_are_told_by_session_over_all_measured_repetitions(data: RunData) -> None:
    assert engine_notes(counted(data, TWO)) == (
        f"{SHORT}: segments synthesised: 12 on session 1 (cpu:1), 8 on session 2 (cpu:1)",
    )


def test_of_texts_asked_for_at_once_the_account_is_taken_once_a_block(data: RunData) -> None:
    (scenario,) = data.run.scenarios
    crowd = replace(scenario, concurrency=2)
    doubled = tuple(
        replace(each, scenario_id=crowd.id, position=position, account=TWO)
        for each in data.repetitions
        for position in (0, 1)
    )
    made = replace(data, run=replace(data.run, scenarios=(crowd,)), repetitions=doubled)
    assert engine_notes(made) == (f"{crowd.id}: segments synthesised: 12 on session 1 (cpu:1), 8 on session 2 (cpu:1)",)


def test_a_cache_is_told_by_where_pieces_came_from(data: RunData) -> None:
    told = "of 40 requested segments, 24 were in the cache, 12 joined a computation and 4 were computed; 8 were evicted"
    assert engine_notes(counted(data, CACHED)) == (f"{SHORT}: {told}; the cache held at most 3.0 of 8 MiB",)


def test_engines_that_count_nothing_or_have_nothing_to_count_are_passed_over(data: RunData) -> None:
    assert engine_notes(data) == ()
    assert engine_notes(counted(data, EngineCounters(routes=(("cpu:2", 1),), misses=1))) == ()
