"""The pages of scripted runs, byte for byte: what a change of the report does to them is reviewed as a difference."""

import os
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from harness.core.records.environment import Conditions, Subject
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.plan.matrix import ScenarioRequest
from harness.store.audio import audio_path
from harness.store.runs import open_store
from reports.history.context import Context
from reports.history.steps import Marks
from reports.pages.write import write_run_page, write_site
from reports.text.naming import names_of
from reports.views.players import players
from tests.conftest import Laboratory

from .conftest import keep

GOLDEN = Path(__file__).parent / "golden" / "site"
PAGES = (
    "index.html",
    "runs.html",
    "trends.html",
    "compare.html",
    "models.html",
    "runs/20000103-000000-third.html",
    "trends/latency-*.html",
    "scenarios/scripted-8bit.cpu.tdefault-whole-chars-12-af_heart-*.html",
)
MODELS = "scripted,scripted-8bit"
REQUESTS = (
    ScenarioRequest(mode=Mode.LOAD_WARM),
    ScenarioRequest(mode=Mode.WHOLE, texts=("chars-12",)),
    ScenarioRequest(mode=Mode.STREAM, texts=("chars-200",)),
)
NAMES = ("20000101-000000-first", "20000102-000000-second", "20000103-000000-third")


def fixed(data: RunData, name: str, day: int) -> RunData:
    """The run as if made on some day by some packages: what is not the page's business is the same everywhere."""
    run = data.run
    conditions = Conditions(taken_at=run.started_at, readings=(), texts=())
    return replace(
        data,
        run=replace(
            run,
            id=name,
            started_at=run.started_at + 86_400 * day,
            ended_at=run.started_at + 86_400 * day + 60,
            subject=Subject(
                packages=(("onnxruntime", f"1.2{day}.0"),), python="3.11.9", revision="", dirty=False, models=()
            ),
            machine=replace(run.machine, system="Linux", cpu="a scripted CPU"),
            conditions=conditions,
            conditions_at_end=conditions,
        ),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of two models: accepted, compared with it, and slower than it by a fifth."""
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    with open_store(lab.root / "kept.sqlite") as store:
        for day, (name, pace) in enumerate(zip(NAMES, ("1", "1", "1.2"), strict=True)):
            data = lab.run(requests=REQUESTS, model=MODELS, launches="2", seed=str(day), script=f"pace={pace}").data
            if day == 0:
                lab.promote(data)
            audio = lab.config().audio
            shutil.move(audio / data.run.id, audio / name)
            keep(store, fixed(data, name, day))
        curves = {"scripted": {each.id: "calibrated here: a sentence" for each in data.run.scenarios[:1]}}
        context = Context(marks=Marks(promoted=frozenset(NAMES[:1])), audio=audio, curves=curves)
        return write_site(store, lab.root / "site", context=context).parent


def plain(html: str) -> str:
    """A page without what is tested elsewhere or made by other libraries: style, script, encoded sound and pictures."""
    html = re.sub(r"<style>.*?</style>", "<style></style>", html, flags=re.DOTALL)
    html = re.sub(r"<script>.*?</script>", "<script></script>", html, flags=re.DOTALL)
    html = re.sub(r"sha256-[\w+/=]+", "sha256-", html)
    return re.sub(r"(data:\w+/\w+;base64,)[\w+/=]+", r"\1", html)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_scripted_engine_is_the_accepted_one(site: Path, page: str) -> None:
    (file,) = site.glob(page)
    golden = GOLDEN / page.replace("/", "--").replace("-*", "")
    shown = plain(file.read_text(encoding="utf-8")).encode()
    if os.environ.get("REGENERATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_bytes(shown)
    assert shown == golden.read_bytes(), "run with REGENERATE_GOLDEN=1 and review the difference"


def test_a_variant_can_be_heard_beside_its_original(site: Path) -> None:
    (file,) = site.glob("scenarios/scripted-8bit.cpu.tdefault-whole-chars-12-af_heart-*.html")
    html = file.read_text(encoding="utf-8")
    assert html.count('src="data:audio/flac;base64,') == 2
    assert html.count('<path class="wave"') == 3
    assert html.count('href="data:image/png;base64,') == 3
    assert "the original against itself under another seed" in html


def test_what_was_streamed_can_be_heard_and_what_was_only_loaded_not(site: Path) -> None:
    takes = {"scripted.cpu": 1, "scripted-8bit": 2}
    for model, heard in takes.items():
        (file,) = site.glob(f"scenarios/{model}*-stream-*.html")
        html = file.read_text(encoding="utf-8")
        assert html.count("<audio") == heard
        assert html.count('href="data:image/png;base64,') == (3 if heard > 1 else 1)
    assert "One repetition of this original was kept" in next(
        iter(site.glob("scenarios/scripted.cpu*-stream-*"))
    ).read_text(encoding="utf-8")
    for file in site.glob("scenarios/*-load-warm-*.html"):
        assert "<audio" not in file.read_text(encoding="utf-8")


def test_a_single_file_can_be_listened_to_as_far_as_it_may_carry_sound(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(site.parent / "kept.sqlite") as store:
        data = store.load(NAMES[2])
    context = Context(audio=Laboratory(site.parent).config().audio)
    html = write_run_page(data, tmp_path / "run.html", context=context).read_text(encoding="utf-8")
    spoken = [each for each in data.run.scenarios if not each.mode.is_start_up]
    assert html.count('src="data:audio/flac;base64,') == html.count("<audio") == len(spoken) == 4
    assert "left out" not in html
    assert "media-src data:" in html
    largest = max(file.stat().st_size for file in (context.audio or tmp_path).glob(f"{NAMES[2]}/*.flac"))
    monkeypatch.setattr("reports.pages.write.players", partial(players, most=largest))
    html = write_run_page(data, tmp_path / "run.html", context=context).read_text(encoding="utf-8")
    assert 0 < html.count("<audio") < len(spoken)
    assert f"{len(spoken) - html.count('<audio')} of 4 recordings" in html
    assert players(data, names_of(data), tmp_path / "nothing") is None


def test_a_run_says_what_changed_since_the_run_accepted_before_it_and_how_often_the_gate_errs(site: Path) -> None:
    html = (site / "runs" / f"{NAMES[2]}.html").read_text(encoding="utf-8")
    assert f"What differs from run {NAMES[0]}, the newest accepted before it" in html
    assert ">1.20.0<" in html
    assert ">1.22.0<" in html
    assert "calibrated here: a sentence." in html
    first = (site / "runs" / f"{NAMES[0]}.html").read_text(encoding="utf-8")
    assert "What differs from" not in first


def test_recordings_that_are_gone_or_damaged_leave_the_page_without_them(site: Path, tmp_path: Path) -> None:
    from reports.charts.sound import sound

    with open_store(site.parent / "kept.sqlite") as store:
        data = store.load(NAMES[2])
    arms = {each.arm.id: each for each in data.run.scenarios if each.text_class == "chars-12"}
    original, scenario = (arms[f"{model}.cpu.tdefault"] for model in MODELS.split(","))
    assert sound(data, scenario, tmp_path) is None
    folder = tmp_path / "audio"
    shutil.copytree(Laboratory(site.parent).config().audio, folder)
    for launch in (0, 1):
        audio_path(folder, NAMES[2], scenario_id=original.id, launch=launch).write_bytes(b"no sound")
    alone = sound(data, scenario, folder)
    assert alone is not None
    assert len(alone.takes) == 1
    assert alone.difference == ()
    assert "no second recording" in alone.finding
