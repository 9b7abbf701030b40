"""What a run says: verdicts, transcripts, ratings and levels, in the views and through the report command."""

import base64
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from harness.core.records.run import RunData
from harness.core.records.speech import EditCounts, SpeechKind, SpeechSheet
from harness.core.records.value import known, unknown
from harness.core.records.verdict import VerdictKind
from harness.store.audio import SPEECH
from harness.store.runs import open_store
from reports.history.context import Context
from reports.pages.write import write_run_page
from reports.views.arms import arms
from reports.views.speech import Speech
from tests.conftest import Command

from .conftest import HOSTILE, keep
from .spoken import plant, reading, spoken_run, verdict
from .test_pages import Page

VARIANTS = {"kokoro-v1.0-int8": 0.13, "kokoro-v1.0-dq-u8": 0.40}
LEVELS = {"kokoro-v1.0-dq": -24.5, "kokoro-v1.0-int8": -21.2, "kokoro-v1.0-dq-u8": -26.0}
HEARD = "The quick brown box jumps over the lazy dog and it sleeps"
WHY = "DNSMOS lies 0.13 below the original's"


@pytest.fixture(scope="module")
def data() -> RunData:
    return spoken_run(VARIANTS)


def scenario_of(data: RunData, model: str, text: str = "short") -> str:
    return next(
        each.id
        for each in data.run.scenarios
        if each.arm.model and each.arm.model.name == model and each.text_class == text
    )


def planted(data: RunData, folder: Path) -> SpeechSheet:
    """The 8-bit model says a word wrong and leaves one out; what it says otherwise is right."""
    scenarios = {each.id: each for each in data.run.scenarios}
    int8 = scenarios[scenario_of(data, "kokoro-v1.0-int8")]
    wrong = reading(int8, transcript=HEARD, words=EditCounts(reference=13, substituted=1, deleted=1))
    u8 = scenarios[scenario_of(data, "kokoro-v1.0-dq-u8")]
    return plant(
        data,
        folder,
        levels=LEVELS,
        readings=(wrong,),
        verdicts=(verdict(int8, SpeechKind.DIFFERENT, WHY), verdict(u8, SpeechKind.EQUIVALENT, "the same words")),
    )


def sound_of(source: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """The samples of a data address."""
    samples, _ = soundfile.read(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return samples  # type: ignore[no-any-return]


def decibels(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    return 20 * math.log10(math.sqrt(float(np.mean(samples**2))))


def test_the_report_command_shows_verdicts_transcripts_ratings_and_gains(
    kokoro_bench: Command, data: RunData, tmp_path: Path
) -> None:
    planted(data, tmp_path / "audio")
    with open_store(tmp_path / "results.sqlite") as store:
        keep(store, data)
    done = kokoro_bench("report", "--results", "results.sqlite", "--report", "site")
    assert done.returncode == 0, done.stderr
    (file,) = (tmp_path / "site" / "scenarios").glob("kokoro-v1.0-int8*short*.html")
    html = file.read_text(encoding="utf-8")
    page = Page(html)
    assert "≈ different DNSMOS lies 0.13 below the original's." in " ".join(page.text.split())
    assert '<del><span class="unseen">missing: </span>fox</del>' in html
    assert '<ins><span class="unseen">added: </span>box</ins>' in html
    assert "2 words differ in a text of 13: 1 replaced, 1 missing." in html
    assert html.count("Every word was recognised.") == 1
    assert html.count("P.808 <b>4.32</b>") == 2
    assert "matched in loudness, at \u221224.5\u202fLUFS, the original&#39;s level" in html
    assert re.findall(r"gain ([+\u2212]?[\d.]+)\u202fdB", html) == ["0.0", "\u22123.3"]
    original, variant = (sound_of(each["src"] or "") for each in page.all("audio"))
    assert decibels(original) == pytest.approx(decibels(variant), abs=0.05), "both players are as loud"
    kept, _ = soundfile.read(next((tmp_path / "audio" / data.run.id).glob("kokoro-v1.0-int8*short*.flac")))
    assert decibels(variant) - decibels(kept) == pytest.approx(-3.3, abs=0.02), "the gain that is shown is in the sound"
    models = (tmp_path / "site" / "models.html").read_text(encoding="utf-8")
    assert models.count('class="trade strip"') == 2
    (run,) = (tmp_path / "site" / "runs").glob("*.html")
    whole = run.read_text(encoding="utf-8")
    assert "<audio" not in whole
    assert 'href="#sound">Speech and sound' in whole
    assert whole.count('<del><span class="unseen">') == 2


def test_a_single_file_brings_its_players_to_one_level(kokoro_bench: Command, data: RunData, tmp_path: Path) -> None:
    planted(data, tmp_path / "audio")
    with open_store(tmp_path / "results.sqlite") as store:
        keep(store, data)
    done = kokoro_bench("report", "--results", "results.sqlite", "--single-file", "latest")
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    loud = [decibels(sound_of(each["src"] or "")) for each in page.all("audio")]
    assert len(loud) == len(data.run.scenarios)
    assert max(loud) - min(loud) < 0.1
    assert "at \u221223.0\u202fLUFS. The files that the run keeps are as recorded." in page.text
    assert page.text.count("gain +1.5") == page.text.count("gain \u22121.8") == page.text.count("gain +3.0") == 2
    names = re.findall(r"(tiny|short), whole\s*(kokoro-[\w.-]+)", page.text[page.text.index("What each scenario") :])
    assert [text for text, _ in names] == ["tiny"] * 3 + ["short"] * 3, "what says one text stands together"


def test_a_run_whose_sheet_is_gone_or_damaged_shows_the_gate_s_verdict_and_what_was_stored(
    data: RunData, tmp_path: Path
) -> None:
    int8 = scenario_of(data, "kokoro-v1.0-int8")
    broken = replace(
        data.verdicts[0], scenario_id=int8, metric="speech", kind=VerdictKind.FAILED, reason="6 words are wrong"
    )
    data = replace(data, verdicts=(*data.verdicts, broken))
    plant(data, tmp_path, levels=LEVELS)
    sheet = tmp_path / data.run.id / SPEECH
    pages = []
    for content in (None, b'{"readings": 3}'):
        sheet.unlink(missing_ok=True)
        if content is not None:
            sheet.write_bytes(content)
        pages.append(write_run_page(data, tmp_path / "run.html", context=Context(audio=tmp_path)).read_text("utf-8"))
    assert len(set(pages)) == 1
    page = Page(pages[0])
    assert len(page.all("audio")) == len(data.run.scenarios)
    assert "gain " not in page.text
    assert "✕ broken 6 words are wrong." in " ".join(page.text.split())
    assert "DNSMOS P.835, overall" in page.text, "what is stored in the run is still shown"


def test_a_run_that_was_never_judged_has_the_section_that_it_had(small_run: RunData, tmp_path: Path) -> None:
    html = write_run_page(small_run, tmp_path / "run.html").read_text(encoding="utf-8")
    assert "Speech and sound" not in html
    assert 'id="sound"' not in html
    assert 'id="trade-off"' not in html
    assert ">Speech<" not in html


def test_values_that_are_unknown_show_their_reason(data: RunData, tmp_path: Path) -> None:
    scenario = data.run.scenarios[0]
    readings = {
        "wer": unknown("Welsh is not recognised"),
        "dnsmos_overall": unknown("the audio is silent"),
        "dnsmos_signal": known(3.1),
        "loudness": unknown("shorter than 0.4 s"),
    }
    given = reading(scenario, words=None, transcript="", readings=readings)
    doubtful = verdict(scenario, SpeechKind.UNKNOWN, "Welsh is not recognised")
    plant(data, tmp_path, levels=LEVELS, readings=(given,), verdicts=(doubtful,))
    file = write_run_page(data, tmp_path / "run.html", context=Context(audio=tmp_path))
    text = " ".join(Page(file.read_text(encoding="utf-8")).text.split())
    assert "? unknown Welsh is not recognised." in text
    assert "Not transcribed: Welsh is not recognised." in text
    assert "DNSMOS overall unknown (the audio is silent), signal 3.10" in text
    assert "level as recorded: shorter than 0.4 s" in text


def test_words_that_differ_in_spelling_alone_are_not_marked(data: RunData) -> None:
    given = reading(data.run.scenarios[0], text="It costs three dollars.", transcript="It costs $3.")
    found = Speech(data, SpeechSheet(readings=(given,))).transcript(given.scenario_id, 0)
    assert found is not None
    assert found.text == "It costs three dollars."


def test_hostile_texts_transcripts_and_reasons_are_shown_as_text(data: RunData, tmp_path: Path) -> None:
    scenario = data.run.scenarios[-1]
    given = reading(
        scenario,
        text=HOSTILE,
        transcript=HOSTILE.replace("alert", "warn") + " /home/someone/secret/notes.txt",
        words=EditCounts(reference=3, substituted=3),
        readings={"wer": known(1.0), "dnsmos_overall": unknown(HOSTILE), "loudness": unknown(HOSTILE)},
    )
    hostile = replace(verdict(scenario, SpeechKind.BROKEN, HOSTILE), counts={HOSTILE: 1, "broken": 1})
    plant(data, tmp_path, levels=LEVELS, readings=(given,), verdicts=(hostile,))
    html = write_run_page(data, tmp_path / "run.html", context=Context(audio=tmp_path)).read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert "<script>alert(1)</script>" in page.text
    assert "<script>warn(1)</script>" in page.text
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert "/home/someone" not in html


def test_ratings_and_verdicts_stand_beside_similarity_in_a_table_of_their_own(data: RunData) -> None:
    sheet = SpeechSheet(verdicts=tuple(verdict(each, SpeechKind.DIFFERENT, WHY) for each in data.run.scenarios[2:4]))
    mcd = [replace(each, metric="mcd") for each in data.summaries if each.metric == "dnsmos_overall"]
    found = arms(replace(data, summaries=(*data.summaries, *mcd)), speech=Speech(data, sheet))
    assert list(found.speech_columns) == ["dnsmos_overall", "mcd"]
    assert not found.speed_columns.keys() & found.speech_columns.keys()
    assert [each.badge and each.badge.word for each in found.lines] == [None, "different", None]
    silent = arms(replace(data, summaries=tuple(each for each in data.summaries if each.metric != "dnsmos_overall")))
    assert silent.speech_columns == {}
