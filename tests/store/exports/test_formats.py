import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import StoreError, UsageError
from harness.core.records.repetition import Block, Disturbance, Launch, Repetition
from harness.core.records.run import RunData, RunRecord
from harness.core.records.value import Reading, known, unknown
from harness.core.records.verdict import Summary, TargetResult, Verdict
from harness.core.redaction import published
from harness.store.exports.formats import CSV_COLUMNS, FORMS, Derived, export, read_jsonl

HOSTILE = ('</script><b>"', "comma, semicolon; tab\t", "two\r\nlines", "\u202eright to left", "=1+1", "x" * 300, "\0")


def rows_of(
    data: RunData, figures_of: Callable[[Repetition], Mapping[str, Reading]] | None = None
) -> list[dict[str, str]]:
    content = export(data, "csv", Derived(figures_of=figures_of) if figures_of else None)
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


def test_a_form_that_does_not_exist_names_the_nearest(small_run: RunData) -> None:
    with pytest.raises(UsageError, match="this form of export is not known") as caught:
        export(small_run, "jsnol")
    assert caught.value.remedy == "did you mean 'jsonl'?"
    assert FORMS == ("pytest-benchmark", "csv", "jsonl", "bencher", "openmetrics", "junit")


class TestCsv:
    def test_one_line_per_repetition_with_the_documented_columns(self, small_run: RunData) -> None:
        rows = rows_of(small_run)
        assert list(rows[0]) == list(CSV_COLUMNS)
        assert len(rows) == len(small_run.repetitions) == 10
        assert [row["phase"] for row in rows[:2]] == ["first", "measured"]
        assert (rows[1]["end_ns"], rows[1]["frames"], rows[1]["started_at"]) == (
            "1010000000",
            "60000",
            "1767323050.125",
        )

    def test_lines_end_as_the_standard_says(self, small_run: RunData) -> None:
        plain = export(replace(small_run, repetitions=small_run.repetitions[:2]), "csv")
        assert plain.count(b"\r\n") == 3
        assert plain.endswith(b"\r\n")

    def test_what_is_unknown_is_an_empty_cell(self, small_run: RunData) -> None:
        row = rows_of(small_run)[0]
        assert (row["first_byte_ns"], row["rss_peak"]) == ("", "")

    def test_each_metric_has_its_column(self, small_run: RunData) -> None:
        def figures_of(repetition: Repetition) -> dict[str, Reading]:
            if not repetition.outcome.valid:
                return {"rtf": unknown("not valid"), "ttfa": known(0.1)}
            return {"rtf": known(repetition.end_ns / 2.5e9)}

        rows = rows_of(small_run, figures_of)
        assert list(rows[0]) == [*CSV_COLUMNS, "rtf", "ttfa"]
        assert [(row["rtf"], row["ttfa"]) for row in rows[:3]] == [("0.8", ""), ("0.404", ""), ("", "0.1")]

    @pytest.mark.parametrize("text", HOSTILE)
    def test_any_text_round_trips_through_csv(self, small_run: RunData, make_repetition: Any, text: str) -> None:
        repetition = make_repetition(scenario_id=text, disturbance=Disturbance(marks=("steal", "load")))
        [row] = rows_of(replace(small_run, repetitions=(repetition,)))
        assert (row["scenario"], row["disturbed"]) == (text, "steal;load")

    def test_no_repetition_leaves_the_header(self, small_run: RunData) -> None:
        assert export(replace(small_run, repetitions=()), "csv") == (",".join(CSV_COLUMNS) + "\r\n").encode()


class TestJsonLines:
    def test_a_run_is_read_back_as_it_was(self, small_run: RunData) -> None:
        # But for the process that made it, which means nothing elsewhere and would tell two equal runs apart.
        anonymous = replace(small_run, run=replace(small_run.run, pid=0, boot=""))
        assert read_jsonl(export(small_run, "jsonl").splitlines()) == anonymous

    @given(
        data=st.builds(
            RunData,
            run=st.builds(RunRecord),
            **{
                name: st.lists(st.from_type(kind), max_size=2).map(tuple)
                for name, kind in {
                    "launches": Launch,
                    "blocks": Block,
                    "repetitions": Repetition,
                    "summaries": Summary,
                    "verdicts": Verdict,
                    "targets": TargetResult,
                }.items()
            },
        )
    )
    def test_any_run_is_read_back_equal(self, data: RunData) -> None:
        """But for the user's folders, which are not exported, and ids stay what they are."""
        read = read_jsonl(export(data, "jsonl").splitlines())
        assert read == published(data)
        assert [each.id for each in read.run.scenarios] == [each.id for each in data.run.scenarios]
        assert [each.scenario_id for each in read.verdicts] == [each.scenario_id for each in data.verdicts]

    def test_every_line_says_what_it_is(self, small_run: RunData) -> None:
        lines = [json.loads(line) for line in export(small_run, "jsonl").splitlines()]
        kinds = [line["kind"] for line in lines]
        assert kinds == [
            "run",
            "launch",
            *["block"] * 3,
            *["repetition"] * 10,
            *["summary"] * 3,
            *["verdict"] * 3,
            "target",
            "end",
        ]
        assert {line["format"] for line in lines} == {1}
        assert lines[-1]["records"] == len(lines) - 1 == 22

    def test_a_file_cut_short_is_refused(self, small_run: RunData) -> None:
        lines = export(small_run, "jsonl").splitlines(keepends=True)
        for kept in (0, 1, len(lines) - 1):
            with pytest.raises(StoreError, match="is cut short") as caught:
                read_jsonl(lines[:kept], where="run.jsonl")
            assert str(caught.value).startswith("run.jsonl: is cut short")

    def test_a_line_that_is_missing_is_noticed(self, small_run: RunData) -> None:
        lines = export(small_run, "jsonl").splitlines(keepends=True)
        with pytest.raises(StoreError, match="is cut short"):
            read_jsonl(lines[:5] + lines[6:])

    @pytest.mark.parametrize(
        ("line", "complaint"),
        [
            (b"{", "run.jsonl, line 2: is no line of an exported run"),
            (b"\xff\xfe", "run.jsonl, line 2: is no line of an exported run"),
            (b'{"kind": "verse", "format": 1}', "run.jsonl, line 2: has the unknown kind 'verse'"),
            (b'{"kind": "launch", "format": 1, "record": {"arm_id": 3}}', "run.jsonl, line 2: is no launch"),
            (b'{"kind": "launch", "format": 2}', "run.jsonl, line 2: was written by a newer kokoro-bench (format 2"),
        ],
    )
    def test_a_damaged_line_is_named(self, small_run: RunData, line: bytes, complaint: str) -> None:
        first = export(small_run, "jsonl").splitlines()[0]
        with pytest.raises(StoreError) as caught:
            read_jsonl([first, line], where="run.jsonl")
        assert str(caught.value).startswith(complaint)
