"""Files as earlier versions wrote them: what could be read once can be read for ever."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.records.repetition import OutcomeKind, Phase, Repetition
from harness.core.records.run import RunData, RunStatus
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import VerdictKind
from harness.store.baselines import load_baselines
from harness.store.exports.formats import Derived, export, read_jsonl
from harness.store.runs import open_store

DATA = Path(__file__).with_name("data")


@pytest.fixture
def golden() -> RunData:
    return read_jsonl((DATA / "run-1.jsonl").read_bytes().splitlines())


def latency(repetition: Repetition) -> dict[str, Reading]:
    valid = repetition.outcome.valid
    return {"latency": known(repetition.end_ns / 1e9) if valid else unknown("not valid")}


def test_json_lines_of_format_1_are_read(golden: RunData) -> None:
    assert (golden.run.id, golden.run.status, golden.run.machine.key) == (
        "20260102-030405",
        RunStatus.FAILED,
        "two-core-x86-1a2b3c",
    )
    assert [repetition.phase for repetition in golden.repetitions[:2]] == [Phase.FIRST, Phase.MEASURED]
    assert golden.repetitions[2].outcome.kind is OutcomeKind.INVALID_AUDIO
    assert golden.repetitions[1].end_ns == 1_010_000_000
    assert golden.verdicts[0].kind is VerdictKind.REGRESSED
    assert golden.verdicts[0].change is not None
    assert golden.verdicts[0].change.point == 0.11


def test_database_of_schema_0001_is_migrated_and_read(tmp_path: Path, golden: RunData) -> None:
    file = tmp_path / "results.sqlite"
    file.write_bytes(gzip.decompress((DATA / "schema-0001.sqlite.gz").read_bytes()))
    with open_store(file) as store:
        assert store.load("20260102-030405") == golden
        [row] = store.list()
        assert (row.repetitions, row.invalid, row.regressed, row.missed) == (10, 3, 1, 1)
        [point] = store.series("latency", golden.run.scenarios[0].id, "two-core-x86-1a2b3c")
        assert point.summary == golden.summaries[0]
        assert store.begin(golden.run) == "20260102-030405-2"


def test_what_was_read_can_be_exported_again(golden: RunData) -> None:
    anonymous = replace(golden, run=replace(golden.run, pid=0, boot=""))
    assert read_jsonl(export(golden, "jsonl").splitlines()) == anonymous


def test_what_other_tools_read_stays_the_same_bytes(golden: RunData) -> None:
    assert export(golden, "csv", Derived(figures_of=latency)) == (DATA / "run-1.csv").read_bytes()
    assert export(golden, "pytest-benchmark") == (DATA / "run-1.pytest-benchmark.json").read_bytes()


def test_baselines_of_format_1_are_read() -> None:
    golden = load_baselines(DATA / "baselines-1", "two-core-x86-1a2b3c")
    scenario = "replica.cpu.t2/whole/short/af_heart"
    assert [(point.run.date, point.median) for point in golden.for_pair(scenario, "rtf")] == [
        ("2026-01-01T03:04:05Z", 0.625),
        ("2026-01-02T03:04:05Z", 0.75),
    ]
    assert len(golden.pairs()) == 4
    assert golden.for_pair(scenario, "rtf")[0].run.packages == (("onnxruntime", "1.31.1"),)
