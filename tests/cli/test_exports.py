"""Results in the formats of other tools, and runs of other machines: through the real command."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.conftest import Command, Laboratory

DUEL = ("duel", "--engine", "scripted", "model=scripted", "model=scripted-8bit", "--launches", "2", "--blocks", "6")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an accepted and a later scripted run."""
    lab = Laboratory(tmp_path_factory.mktemp("exports"))
    lab.promote(lab.run(seed="1", launches="2", blocks="2").data)
    lab.run(seed="2", launches="2", blocks="2")
    return lab.root


@pytest.fixture
def ask(here: Command, stored: Path) -> Callable[..., Any]:
    def run(*arguments: str) -> Any:
        found = here(*arguments, directory=stored)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    return run


def test_a_duel_as_json_has_the_verdicts_of_its_exit_code_and_of_every_export(here: Command) -> None:
    found = here(*DUEL, "--json")
    told = json.loads(found.stdout)
    assert (found.returncode, told["exit_code"]) == (1, 1)
    assert told["arms"] == {"candidate": "model=scripted", "reference": "model=scripted-8bit"}
    assert "launch 1: measuring" in found.stderr
    verdicts = {(each["scenario_id"], each["metric"]): each for each in told["verdicts"]}
    assert [each["fails"] for each in verdicts.values()].count(True) >= 1

    shown = json.loads(here("runs", "show", "--json").stdout)
    assert shown["verdicts"] == told["verdicts"]
    assert shown["values"] == told["values"]

    arms = json.loads(here("compare", "latest", "--json").stdout)
    assert arms["of"] == "arms"
    assert {each["metric"] for each in arms["values"]} >= {each["metric"] for each in told["verdicts"]}

    suite = ET.fromstring(here("runs", "export", "--format", "junit").stdout.encode())[0]  # noqa: S314 - our own
    cases = {(case.get("classname"), case.get("name")): case for case in suite.iter("testcase")}
    for key, verdict in verdicts.items():
        properties = {each.get("name"): each.get("value") for each in cases[key].iter("property")}
        assert properties["verdict"] == verdict["shown_as"]
        assert (cases[key].find("failure") is not None) is verdict["fails"]
    assert int(suite.get("failures", "")) == sum(each["fails"] for each in verdicts.values())

    benchmarks = json.loads(here("runs", "export", "--format", "bencher").stdout)
    medians = {(each["scenario_id"], each["metric"]): each for each in told["values"] if each["median"] is not None}
    assert sum(map(len, benchmarks.values())) == len(medians)
    for (scenario_id, metric), value in medians.items():
        if metric in ("latency", "ttfa"):
            name, factor = {"latency": ("latency", 1e9), "ttfa": ("ttfa-seconds", 1.0)}[metric]
            assert benchmarks[scenario_id][name] == {
                "value": value["median"] * factor,
                "lower_value": value["interval"]["low"] * factor,
                "upper_value": value["interval"]["high"] * factor,
            }

    text = here("runs", "export", "--format", "openmetrics").stdout
    families = {family.name: family for family in text_string_to_metric_families(text)}
    latencies = {sample.labels["scenario"]: sample.value for sample in families["kokoro_bench_latency_seconds"].samples}
    assert latencies == {key[0]: value["median"] for key, value in medians.items() if key[1] == "latency"}
    assert {
        (sample.labels["scenario"], sample.labels["metric"], sample.labels["verdict"])
        for sample in families["kokoro_bench_verdict"].samples
    } == {(*key, each["shown_as"]) for key, each in verdicts.items()}


def test_two_runs_compare_as_json(ask: Callable[..., Any]) -> None:
    found = ask("compare", "latest~1", "latest", "--json")
    assert found["of"] == "runs"
    assert found["values"]
    for each in found["values"]:
        if each["ratio"] is not None:
            assert each["ratio"] == each["after"]["median"] / each["before"]["median"]
            assert each["unit"] == ("s" if each["metric"] in ("latency", "ttfa") else each["unit"])


def test_baselines_and_models_are_json_too(ask: Callable[..., Any]) -> None:
    [machine] = ask("baseline", "list", "--json")["machines"]
    assert (machine["machine"], len(machine["runs"])) == ("scripted", 1)
    values = ask("baseline", "show", "--machine", "scripted", "--json")["values"]
    assert all(each["runs"] == [{"run": machine["runs"][0], "median": each["median"]}] for each in values)
    changes = ask("baseline", "diff", "latest", "--json")
    accepted = {(each["scenario_id"], each["metric"]): each["median"] for each in values}
    assert {(each["scenario_id"], each["metric"]): each["before"] for each in changes["values"]} == accepted
    models = {each["name"]: each for each in ask("models", "list", "--json")}
    assert models["replica-small"]["present"] is True


@pytest.fixture
def exported(here: Command, stored: Path) -> str:
    return here("runs", "export", "latest", directory=stored).stdout


def elsewhere(exported: str, machine: int, run: int) -> str:
    """The same run, as if another machine had made it on another day."""
    moved = exported.replace('"key":"scripted"', f'"key":"machine-{machine}"')
    moved = re.sub(r'("record":\{"id":")[^"]+', rf"\g<1>2026010{run}-000000-{machine:06d}", moved)
    return re.sub(r'"started_at":[0-9.]+,"seed"', f'"started_at":{1_767_225_600 + 86_400.0 * run},"seed"', moved)


def test_conditions_that_lie_far_apart_are_listed_by_compare(here: Command, exported: str, tmp_path: Path) -> None:
    readings = '"readings":[["frequency_mhz",{"value":%s,"reason":""}],["load_1min",{"value":%s,"reason":""}]]'
    for run, values in enumerate([("3000.0", "0.1"), ("2400.0", "0.3")]):
        made = elsewhere(exported, 0, run + 1).replace('"readings":[]', readings % values)
        (tmp_path / f"{run}.jsonl").write_text(made)
    assert here("runs", "import", "0.jsonl", "1.jsonl").returncode == 0
    listed = json.loads(here("compare", "latest~1", "latest", "--json").stdout)["differences"]
    (frequency,) = (each for each in listed if "condition" in each["what"])
    assert frequency == {
        "what": "Frequency (condition)", "before": "3\u202f000 MHz", "after": "2\u202f400 MHz",
    }  # fmt: skip


class TestImport:
    def test_runs_of_several_machines_make_one_site_and_stay_apart(
        self, here: Command, exported: str, tmp_path: Path
    ) -> None:
        for machine in range(3):
            for run in range(2):
                (tmp_path / f"{machine}-{run}.jsonl").write_text(elsewhere(exported, machine, run))
        files = sorted(path.name for path in tmp_path.glob("*.jsonl"))
        found = here("runs", "import", *files)
        assert found.returncode == 0, found.stderr
        assert found.stdout.splitlines()[0] == "imported 20260100-000000-000000 of machine-0"
        assert here("runs", "import", *files).stdout.count("already stored: ") == 6
        listed = json.loads(here("runs", "list", "--json").stdout)
        assert sorted(each["machine_key"] for each in listed) == sorted(2 * [f"machine-{n}" for n in range(3)])
        assert here("runs", "export", "20260101-000000-000002").stdout == elsewhere(exported, 2, 1)
        assert here("report").returncode == 0
        site = tmp_path / "reports" / "site"
        assert len(list((site / "runs").glob("2026*.html"))) == 6
        trends = (site / "trends.html").read_text()
        assert all(f"machine-{machine}" in trends for machine in range(3))

    def test_another_run_of_the_same_id_gets_a_number(self, here: Command, exported: str, tmp_path: Path) -> None:
        (tmp_path / "one.jsonl").write_text(exported)
        (tmp_path / "two.jsonl").write_text(exported.replace('"key":"scripted"', '"key":"other"'))
        said = here("runs", "import", "one.jsonl", "two.jsonl").stdout.splitlines()
        run_id = said[0].split()[1]
        assert said[1] == f"imported {run_id}-2 of other (as another run has the id {run_id})"
        assert here("runs", "import", "two.jsonl").stdout.startswith(f"already stored: {run_id}-2 of other")

    @pytest.mark.parametrize(
        ("damage", "said"),
        [
            (lambda text: text[: len(text) // 2], "second.jsonl, line "),
            (lambda text: "\n".join(text.splitlines()[:-1]), "second.jsonl: is cut short"),
            (lambda _text: "", "second.jsonl: is cut short"),
            (lambda _text: '{"benchmarks": []}', "second.jsonl, line 1: is no line of an exported run"),
            (lambda text: re.sub(r'("record":\{"id":")', r"\g<1>../../", text, count=1), "second.jsonl: has the name"),
            (lambda text: text.replace('"key":"scripted"', '"key":"../up"'), "second.jsonl: has the name '../up'"),
        ],
    )
    def test_of_files_with_a_bad_one_none_is_stored(
        self, here: Command, exported: str, tmp_path: Path, damage: Callable[[str], str], said: str
    ) -> None:
        (tmp_path / "first.jsonl").write_text(exported)
        (tmp_path / "second.jsonl").write_text(damage(exported))
        found = here("runs", "import", "first.jsonl", "second.jsonl")
        assert found.returncode == 2
        assert said in found.stderr
        assert len(found.stderr.splitlines()) == 1
        assert json.loads(here("runs", "list", "--json").stdout) == []

    def test_records_that_contradict_one_another_are_not_stored(
        self, here: Command, exported: str, tmp_path: Path
    ) -> None:
        lines = [json.loads(line) for line in exported.splitlines()]
        twice = next(line for line in lines if line["kind"] == "block")
        lines[-1]["records"] += 1
        (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, (lines[0], twice, *lines[1:]))))
        found = here("runs", "import", "run.jsonl")
        assert found.returncode == 2
        assert "has two records of the same thing, so none of it is stored" in found.stderr
        assert json.loads(here("runs", "list", "--json").stdout) == []

    def test_a_file_that_is_not_there_is_named(self, here: Command) -> None:
        found = here("runs", "import", "nowhere.jsonl")
        assert found.returncode == 2
        assert "nowhere.jsonl: cannot be read: No such file or directory" in found.stderr
