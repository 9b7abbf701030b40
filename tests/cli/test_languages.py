"""Voices and languages through the command, on the scripted engine: ids, texts and baselines."""

from pathlib import Path

import pytest

from harness.core.records.run import RunData
from harness.plan.corpus import Corpus
from harness.store.runs import open_store
from tests.conftest import Command

pytestmark = pytest.mark.usefixtures("no_pages")

SHORT = ("run", "--engine", "scripted", "--model", "scripted", "--text", "chars-60", "--launches", "2", "--blocks", "3")
WHOLE = (*SHORT, "-k", "test_whole")
ARM = "scripted.cpu.tdefault/whole/chars-60"


def stored(directory: Path) -> RunData:
    with open_store(directory / ".kokoro-bench/results.sqlite") as store:
        return store.load(store.resolve("latest"))


def listed(run: Command, *options: str) -> list[str]:
    found = run(*SHORT, *options, "--", "--collect-only")
    assert found.returncode == 0, found.stdout + found.stderr
    return [line.rpartition("[")[2].rstrip("]") for line in found.stdout.splitlines() if "test_voices.py::" in line]


def test_nightly_suite_has_one_scenario_per_voice_and_a_voice_of_the_user_replaces_them(here: Command) -> None:
    ids = listed(here, "--nightly")
    assert len(ids) == len(set(ids)) == 20
    assert f"{ARM}/af_heart" in ids
    assert {each.rpartition("/")[2][0] for each in ids} == set("abefhijpz")
    assert listed(here, "--full") == []
    assert listed(here, "--nightly", "--voice", "bf_lily,ef_dora") == [f"{ARM}/bf_lily", f"{ARM}/ef_dora"]


def test_several_voices_are_measured_each_with_a_text_of_its_language(here: Command, tmp_path: Path) -> None:
    found = here(*WHOLE, "--voice", "af_heart,ef_dora,if_sara")
    assert found.returncode == 0, found.stdout + found.stderr
    run = stored(tmp_path).run
    assert [each.id for each in run.scenarios] == [f"{ARM}/{voice}" for voice in ("af_heart", "ef_dora", "if_sara")]
    assert run.setting.corpus == Corpus().digest
    assert run.setting.corpora == tuple((each, Corpus(language=each).digest) for each in ("es", "it"))


def test_baseline_of_english_holds_in_a_run_with_other_languages(here: Command, tmp_path: Path) -> None:
    assert here(*WHOLE).returncode == 0
    assert here("baseline", "promote", "latest").returncode == 0
    found = here(*WHOLE, "--voice", "af_heart,ef_dora")
    assert found.returncode == 0, found.stdout + found.stderr
    kinds = {(each.scenario_id, each.kind.value) for each in stored(tmp_path).verdicts if each.metric == "latency"}
    assert (f"{ARM}/ef_dora", "no baseline") in kinds
    assert "incomparable" not in {kind for _, kind in kinds}


def test_baseline_of_a_language_is_compared_by_the_texts_of_that_language(here: Command, tmp_path: Path) -> None:
    assert here(*WHOLE, "--voice", "ef_dora").returncode == 0
    assert here("baseline", "promote", "latest").returncode == 0
    (tmp_path / "baselines/reference.toml").unlink()  # the same subject is in no question
    (file,) = (tmp_path / "baselines/scripted").glob("*ef_dora*")
    assert Corpus(language="es").digest in file.read_text(encoding="utf-8")
    assert here(*WHOLE, "--voice", "ef_dora").returncode == 0
    assert "incomparable" not in {each.kind.value for each in stored(tmp_path).verdicts}
    text = file.read_text(encoding="utf-8").replace(Corpus(language="es").digest, Corpus().digest)
    file.write_text(text, encoding="utf-8")  # as before there were Spanish texts
    here(*WHOLE, "--voice", "ef_dora")
    assert "incomparable" in {each.kind.value for each in stored(tmp_path).verdicts}


def test_commands_that_take_one_voice_refuse_several(here: Command) -> None:
    found = here("duel", "--engine", "scripted", "current", "current", "--voice", "af_heart,ef_dora")
    assert found.returncode == 2, found.stdout + found.stderr
    assert "duel takes one voice" in found.stderr
