"""Hostile names where a duel's arms are compared, where advice is given, and where sound is heard: shown as text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.synthetic_history import SAMPLE_RATE, made_run
from benchmarks.synthetic_run import Made
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.verdict import VerdictKind
from harness.store.audio import audio_path, write_audio
from harness.store.runs import RunStore
from reports.history.context import Context
from reports.pages.write import write_run_page, write_site
from reports.views.compare import compare_html, compare_markdown, comparison_of_arms

from .conftest import HOSTILE, keep
from .test_pages import Page

ARMS = Made(
    models=("kokoro-fp32", "kokoro-int8"), classes=("tiny",), modes=(Mode.WHOLE, Mode.STREAM), launches=2, blocks=4,
    troubles=False, load=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def duel() -> RunData:
    """Two arms, one made from the other, that have the same hostile text in every name; the second is the candidate."""
    data = made_run(ARMS, 30)
    models = {name: f"{HOSTILE}{number}" for number, name in enumerate(ARMS.models)}
    original = data.run.scenarios[0].arm.model
    assert original is not None
    scenarios = tuple(
        replace(
            each,
            text_class=HOSTILE,
            voice=HOSTILE,
            arm=replace(
                each.arm,
                model=replace(
                    each.arm.model,
                    name=models[each.arm.model.name],
                    origin=HOSTILE,
                    recipe=HOSTILE,
                    parent="" if each.arm.model == original else original.sha256,
                ),
                session_options=((HOSTILE, HOSTILE),),
            ),
        )
        for each in data.run.scenarios
        if each.arm.model is not None
    )
    new = {old.id: each for old, each in zip(data.run.scenarios, scenarios, strict=True)}
    arms = {old.arm.id: each.arm.id for old, each in zip(data.run.scenarios, scenarios, strict=True)}
    candidate = scenarios[-1].arm.id
    return replace(
        data,
        run=replace(data.run, scenarios=scenarios),
        launches=tuple(replace(each, arm_id=arms[each.arm_id]) for each in data.launches),
        blocks=tuple(replace(each, order=tuple(new[name].id for name in each.order)) for each in data.blocks),
        repetitions=tuple(replace(each, scenario_id=new[each.scenario_id].id) for each in data.repetitions),
        summaries=tuple(
            replace(each, scenario_id=new[each.scenario_id].id, reason=each.reason and HOSTILE)
            for each in data.summaries
        ),
        verdicts=tuple(
            replace(
                each,
                scenario_id=new[each.scenario_id].id,
                reference=scenarios[0].arm.id,
                kind=VerdictKind.INCONCLUSIVE,
                reason=HOSTILE,
            )
            for each in data.verdicts
            if new[each.scenario_id].arm.id == candidate
        ),
        targets=(),
    )


@pytest.fixture(scope="module")
def folder(duel: RunData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a tone for each scenario."""
    folder = tmp_path_factory.mktemp("audio")
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    for scenario in duel.run.scenarios:
        write_audio(audio_path(folder, duel.run.id, scenario_id=scenario.id, launch=0), tone, SAMPLE_RATE)
    return folder


def shown(html: str) -> Page:
    """A page that is whole, that runs nothing but its own script, and that shows the names with nothing hidden."""
    page = Page(html)
    assert page.open == []
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "<script>alert(1)</script>" in page.text
    assert "⟨U+202E⟩gnp.exe" in page.text
    assert "{{ 7*7 }}" in page.text
    return page


def test_the_arms_of_a_duel_are_compared_under_their_names(duel: RunData) -> None:
    view = comparison_of_arms(duel)
    assert view is not None
    assert view.pairs
    shown(compare_html(view))
    lines = compare_markdown(view).splitlines()
    assert not any("\u202e" in line or "<script" in line.replace("\\<", "") for line in lines)
    assert lines[0].startswith("## ")


def test_pages_of_advice_and_sound_show_them_as_text(
    store: RunStore, tmp_path: Path, duel: RunData, folder: Path
) -> None:
    keep(store, duel)
    write_site(store, tmp_path, context=Context(audio=folder))
    models = shown((tmp_path / "models.html").read_text(encoding="utf-8"))
    assert "second best" in models.text
    shown((tmp_path / "compare.html").read_text(encoding="utf-8"))
    pages = [shown(file.read_text(encoding="utf-8")) for file in (tmp_path / "scenarios").iterdir()]
    assert [len(page.all("audio")) for page in pages].count(2) == 2
    assert all(page.all("audio") for page in pages)


def test_a_single_file_with_sound_shows_them_as_text(tmp_path: Path, duel: RunData, folder: Path) -> None:
    file = write_run_page(duel, tmp_path / "run.html", context=Context(audio=folder))
    assert len(shown(file.read_text(encoding="utf-8")).all("audio")) == len(duel.run.scenarios)
