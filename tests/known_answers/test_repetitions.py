"""How many repetitions a run gives each text: by what they cost on the scripted clock, alike for both models."""

import json
from collections import Counter
from pathlib import Path

from tests.conftest import Command

RUN = ("run", "--engine", "scripted", "--model", "scripted,scripted-8bit", "-k", "text_lengths", "--precision", "0")


def repetitions(kokoro_bench: Command, directory: Path, *options: str) -> Counter[tuple[str, str]]:
    ran = kokoro_bench(*RUN, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    exported = kokoro_bench("runs", "export", "latest", "--format", "jsonl", directory=directory)
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    found: Counter[tuple[str, str]] = Counter()
    for each in (line["record"] for line in lines if line["kind"] == "summary"):
        if each["metric"] == "latency" and "/whole/" in each["scenario_id"]:
            arm, _, text, *_ = each["scenario_id"].split("/")
            found[arm, text] = each["n"]
    return found


def test_a_short_budget_goes_to_texts_by_their_cost(kokoro_bench: Command, tmp_path: Path) -> None:
    found = repetitions(kokoro_bench, tmp_path, "--budget", "60s", "--blocks", "100")
    arms = {arm for arm, _ in found}
    short, medium, long = ({found[arm, text] for arm in arms} for text in ("chars-12", "chars-60", "chars-200"))
    assert len(short) == len(medium) == len(long) == 1
    assert short.pop() > medium.pop() > long.pop() >= 3


def test_where_there_is_time_each_text_is_in_each_block(kokoro_bench: Command, tmp_path: Path) -> None:
    found = repetitions(kokoro_bench, tmp_path, "--budget", "1h", "--blocks", "4", "--launches", "2")
    assert set(found.values()) == {8}
