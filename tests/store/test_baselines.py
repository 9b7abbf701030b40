import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import BaselineError
from harness.store.baseline_files import BaselineFile, BaselinePoint, PromotedRun, file_name, parse, render
from harness.store.baselines import BaselineEntry, accept, list_machines, load_baselines
from tests.accepting import promote

MACHINE = "two-core-x86-1a2b3c"
SCENARIO = "replica.cpu.t2/whole/short/af_heart"


def point(day: int = 1, median: float = 0.5, **changes: Any) -> BaselinePoint:
    run = PromotedRun(
        id=f"202601{day:02d}-030405",
        date=f"2026-01-{day:02d}T03:04:05Z",
        corpus="d" * 64,
        protocol=1,
        canary_numpy_ns=1_000_000.0,
        packages=(("kokoro-onnx", "0.6.1"), ("onnxruntime", "1.31.1")),
        revision="c0ffee",
        model="ab" * 32,
    )
    return BaselinePoint(run=replace(run, **changes), definition=1, median=median, n=30, launches=3, spread=0.0125)


def entry(day: int = 1, median: float = 0.5, metric: str = "rtf", scenario_id: str = SCENARIO) -> BaselineEntry:
    return BaselineEntry(machine_key=MACHINE, scenario_id=scenario_id, metric=metric, point=point(day, median))


def only_file(root: Path) -> Path:
    [file] = (path for path in root.rglob("*") if path.is_file())
    return file


class TestPromoting:
    def test_what_was_promoted_is_there_to_compare_with(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry(2, 0.5), entry(1, 0.25), entry(2, 0.75, metric="ttfa")])
        baselines = load_baselines(tmp_path, MACHINE)
        assert baselines.for_pair(SCENARIO, "rtf") == (point(1, 0.25), point(2, 0.5))
        assert baselines.for_pair(SCENARIO, "ttfa") == (point(2, 0.75),)
        assert baselines.for_pair(SCENARIO, "latency") == ()
        assert baselines.pairs() == ((SCENARIO, "rtf"), (SCENARIO, "ttfa"))

    def test_the_newest_ten_stay(self, tmp_path: Path) -> None:
        dropped = [promote(tmp_path, [entry(day, day / 8)])[0].dropped for day in (12, *range(1, 12))]
        assert dropped == [()] * 10 + [("20260101-030405",), ("20260102-030405",)]
        kept = load_baselines(tmp_path, MACHINE).for_pair(SCENARIO, "rtf")
        assert [one.run.date[8:10] for one in kept] == [f"{day:02d}" for day in range(3, 13)]

    def test_a_run_promoted_again_replaces_its_figures(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry(1, 0.5), entry(1, 0.9, metric="ttfa")])
        again = replace(entry(1, 0.25), point=point(1, 0.25, revision="beef"))
        promote(tmp_path, [again])
        baselines = load_baselines(tmp_path, MACHINE)
        assert baselines.for_pair(SCENARIO, "rtf") == (point(1, 0.25, revision="beef"),)
        assert baselines.for_pair(SCENARIO, "ttfa") == (point(1, 0.9, revision="beef"),)

    def test_what_does_not_change_is_not_written(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry()])
        file = only_file(tmp_path)
        os.utime(file, ns=(1, 1))
        assert promote(tmp_path, [entry()]) == ()
        assert file.stat().st_mtime_ns == 1

    def test_a_preview_says_what_would_change_and_changes_nothing(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry(1, 0.5), entry(2, 0.75)])
        before = only_file(tmp_path).read_bytes()
        [change] = accept(tmp_path, [entry(3, 1.0)], (), keep=2, write=False).figures
        assert (change.scenario_id, change.metric, change.before, change.after) == (SCENARIO, "rtf", 0.625, 0.875)
        assert (change.added, change.dropped) == (("20260103-030405",), ("20260101-030405",))
        assert change.file == only_file(tmp_path)
        assert only_file(tmp_path).read_bytes() == before
        [first] = accept(tmp_path / "elsewhere", [entry(3, 1.0)], (), write=False).figures
        assert (first.before, first.after) == (None, 1.0)
        assert not (tmp_path / "elsewhere").exists()

    @pytest.mark.parametrize("median", [float("nan"), float("inf")])
    def test_what_is_no_figure_is_refused(self, tmp_path: Path, median: float) -> None:
        with pytest.raises(BaselineError, match="which is no figure"):
            promote(tmp_path, [entry(1, median)])
        assert list(tmp_path.iterdir()) == []

    def test_a_kill_while_writing_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        promote(tmp_path, [entry(1), entry(1, scenario_id="other")])
        before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}

        def full(_descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(BaselineError, match="No space left on device"):
            promote(tmp_path, [entry(2), entry(2, scenario_id="other")])
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    def test_a_directory_that_is_a_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "baselines").write_text("")
        with pytest.raises(BaselineError) as caught:
            promote(tmp_path / "baselines", [entry()])
        assert str(tmp_path / "baselines") in str(caught.value)

    @pytest.mark.parametrize("key", ["", "..", "a/b", "a\\b", "-x", "x" * 121, "a b", "C:"])
    def test_a_machine_key_cannot_lead_elsewhere(self, tmp_path: Path, key: str) -> None:
        with pytest.raises(BaselineError, match="cannot name a directory of baselines"):
            promote(tmp_path, [replace(entry(), machine_key=key)])
        assert list(tmp_path.iterdir()) == []


class TestFiles:
    def test_a_file_reads_well_in_a_review(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry(1, 0.5), entry(2, 0.625), entry(2, 0.75, metric="latency")])
        lines = only_file(tmp_path).read_text().splitlines()
        assert lines[:5] == [
            "{",
            '  "format": 1,',
            f'  "machine": "{MACHINE}",',
            f'  "scenario": "{SCENARIO}",',
            '  "runs": {',
        ]
        assert lines[7:] == [
            "  },",
            '  "metrics": {',
            '    "latency": {',
            '      "20260102-030405": {"definition": 1, "launches": 3, "median": 0.75, "n": 30, "spread": 0.0125}',
            "    },",
            '    "rtf": {',
            '      "20260101-030405": {"definition": 1, "launches": 3, "median": 0.5, "n": 30, "spread": 0.0125},',
            '      "20260102-030405": {"definition": 1, "launches": 3, "median": 0.625, "n": 30, "spread": 0.0125}',
            "    }",
            "  }",
            "}",
        ]

    def test_a_promotion_adds_one_line_per_fact(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry(1), entry(1, metric="ttfa")])
        before = only_file(tmp_path).read_text().splitlines()
        promote(tmp_path, [entry(2), entry(2, metric="ttfa")])
        after = only_file(tmp_path).read_text().splitlines()
        assert len(after) == len(before) + 3  # the run, and a figure for each metric

    @given(
        scenario_id=st.text(st.characters(exclude_categories=["Cs"])),
        medians=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        metric=st.text(st.characters(exclude_categories=["Cs"])),
    )
    def test_any_content_is_read_back(
        self, tmp_path_factory: pytest.TempPathFactory, scenario_id: str, medians: list[float], metric: str
    ) -> None:
        points = tuple(point(day, median) for day, median in enumerate(medians, start=1))
        content = BaselineFile(machine_key=MACHINE, scenario_id=scenario_id, metrics={metric: points})
        file = tmp_path_factory.mktemp("baselines", numbered=True) / file_name(scenario_id)
        file.write_bytes(render(content))
        assert parse(file, machine_key=MACHINE) == content

    def test_names_are_readable_and_never_the_same(self) -> None:
        assert file_name(SCENARIO) == "replica.cpu.t2--whole--short--af_heart-b75c10fcac89.json"
        ids = ["a/b", "a--b", "A/B", "a b", "a\tb", "ä", "Ä", "", "-", "x" * 300, "x" * 301, "con.cpu/whole", "CON"]
        names = [file_name(scenario_id) for scenario_id in ids]
        assert len({name.lower() for name in names}) == len(ids)

    @given(st.text())
    def test_any_name_is_a_file_name_everywhere(self, scenario_id: str) -> None:
        name = file_name(scenario_id)
        assert len(name) <= 120
        assert not set(name) & set('<>:"/\\|?*') | {"\0"} & set(name)
        assert name.isascii()
        assert name.isprintable()
        assert name.partition(".")[0].upper() not in {"CON", "NUL", "AUX", "PRN", "COM1", "LPT9"}

    def test_what_windows_takes_for_a_device_is_named_otherwise(self) -> None:
        assert file_name("aux.cpu/whole").startswith("_aux.cpu--whole-")


class TestBadFiles:
    @pytest.fixture
    def spoil(self, tmp_path: Path) -> Callable[..., str]:
        """Change a sound file and return what is said of it."""
        promote(tmp_path, [entry(1), entry(2)])
        file = only_file(tmp_path)

        def spoil(old: str, new: str) -> str:
            text = file.read_text()
            assert old in text
            file.write_text(text.replace(old, new, 1), encoding="utf-8")
            with pytest.raises(BaselineError) as caught:
                load_baselines(tmp_path, MACHINE)
            assert caught.value.remedy
            return str(caught.value).replace(str(file), "FILE")

        return spoil

    def test_a_syntax_error_is_given_with_line_and_column(self, spoil: Callable[..., str]) -> None:
        assert spoil('"format": 1,', '"format": 1') == (
            "FILE:3:3: has a syntax error: Expecting ',' delimiter"
            " — restore it with `git checkout -- FILE`, or remove it and run `kokoro-bench baseline promote RUN`"
        )

    def test_a_merge_conflict_is_recognised(self, spoil: Callable[..., str]) -> None:
        assert spoil('  "runs": {', '<<<<<<< HEAD\n  "runs": {').startswith(
            "FILE:5:1: holds an unresolved merge conflict"
        )

    def test_a_key_that_stands_twice(self, spoil: Callable[..., str]) -> None:
        assert "the key 'format' stands twice" in spoil('"format": 1,', '"format": 1, "format": 1,')

    @pytest.mark.parametrize(
        ("old", "new", "complaint"),
        [
            ('"format": 1,', '"format": 2,', "FILE: has the format 2, and this kokoro-bench reads 1"),
            ('"format": 1,', "", "FILE: has the format None"),
            ('"median": 0.5', '"median": "fast"', "Expected `float`, got `str` - at `$.metrics[...][...].median`"),
            ('"median": 0.5', '"median": NaN', "NaN is no figure"),
            ('"median": 0.5', '"meridian": 0.5', "unknown field `meridian`"),
            (
                '"20260101-030405": {"canary',
                '"other": {"canary',
                "the run '20260101-030405' is not described under `runs`",
            ),
        ],
    )
    def test_what_does_not_belong_there(self, spoil: Callable[..., str], old: str, new: str, complaint: str) -> None:
        assert complaint in spoil(old, new)

    def test_a_file_of_another_machine(self, spoil: Callable[..., str]) -> None:
        message = spoil(f'"machine": "{MACHINE}"', '"machine": "laptop-9f9f9f"')
        assert (
            f"FILE: is of another machine (laptop-9f9f9f), whose figures do not compare with this one's ({MACHINE})"
            in message
        )

    def test_a_file_of_another_scenario(self, spoil: Callable[..., str]) -> None:
        message = spoil(f'"scenario": "{SCENARIO}"', '"scenario": "other"')
        assert "is of the scenario other, whose file has another name" in message
        assert f"rename it to {file_name('other')}" in message

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"", b"[" * 100_000])
    def test_what_is_no_baseline_at_all(self, tmp_path: Path, content: bytes) -> None:
        promote(tmp_path, [entry()])
        only_file(tmp_path).write_bytes(content)
        with pytest.raises(BaselineError) as caught:
            load_baselines(tmp_path, MACHINE)
        assert "git checkout" in caught.value.remedy

    def test_a_bad_file_is_never_promoted_over(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry()])
        only_file(tmp_path).write_text("{")
        with pytest.raises(BaselineError, match="has a syntax error"):
            promote(tmp_path, [entry(2)])
        assert only_file(tmp_path).read_text() == "{"


class TestMissing:
    def test_missing_reason_without_any_baseline_says_so(self, tmp_path: Path) -> None:
        baselines = load_baselines(tmp_path / "baselines", MACHINE)
        assert baselines.missing_reason(SCENARIO, "rtf") == "no baseline yet"

    def test_missing_reason_names_the_machine_that_has_a_baseline(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry()])
        baselines = load_baselines(tmp_path, "laptop-9f9f9f")
        assert baselines.for_pair(SCENARIO, "rtf") == ()
        assert baselines.missing_reason(SCENARIO, "rtf") == (
            f"no baseline for this machine (laptop-9f9f9f), only for {MACHINE}, whose figures do not compare"
        )

    def test_another_scenario_or_metric(self, tmp_path: Path) -> None:
        promote(tmp_path, [entry()])
        baselines = load_baselines(tmp_path, MACHINE)
        assert baselines.missing_reason("other", "rtf") == "no baseline for this scenario on this machine"
        assert baselines.missing_reason(SCENARIO, "ttfa") == "no baseline for ttfa of this scenario"


def test_the_machines_are_listed(tmp_path: Path) -> None:
    assert list_machines(tmp_path) == ()
    promote(tmp_path, [entry(2), entry(1), entry(1, scenario_id="other"), replace(entry(3), machine_key="laptop")])
    (tmp_path / "README.md").write_text("about")
    laptop, here = list_machines(tmp_path)
    assert (laptop.machine_key, laptop.scenarios, [run.id for run in laptop.runs]) == ("laptop", 1, ["20260103-030405"])
    assert (here.machine_key, here.scenarios) == (MACHINE, 2)
    assert [run.id for run in here.runs] == ["20260101-030405", "20260102-030405"]


def test_a_file_is_plain_json(tmp_path: Path) -> None:
    promote(tmp_path, [entry(1, 0.5, scenario_id='\u202e"</script>')])
    content = json.loads(only_file(tmp_path).read_text(encoding="ascii"))
    assert content["scenario"] == '\u202e"</script>'
    assert content["metrics"]["rtf"]["20260101-030405"]["median"] == 0.5
