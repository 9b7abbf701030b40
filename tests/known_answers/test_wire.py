"""What goes over the wire: the real commands, and the server's own log of what it was asked for.

Each request is compared whole: a field that nobody asked for is as wrong as one that is missing. A command costs
seconds, so each one answers several questions.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core.records.repetition import Phase
from harness.plan.corpus import Corpus
from harness.server.mock.script import Answer, End, Framing, Script, Step
from harness.server.mock.server import serving
from harness.store.runs import open_store
from tests.conftest import Command

AUDIO = (Step(audio_share=0.5), Step(wait_ms=20), Step(audio_share=0.5))
QUICK = Answer(steps=AUDIO)
ONE = ("--text", "chars-12", "--launches", "1", "--warmups", "1", "--blocks", "1")
LOAD = ("--text", "chars-12", "--users", "2", "--seconds", "600ms", "--warm-up", "100ms", "--cool-down", "50ms")
OPENAI = {"voice": "af_heart", "response_format": "pcm", "stream": True, "model": "kokoro"}
RAYCAST = {"voice": "af_heart", "format": "pcm", "stream": True}
WAV = ("--endpoint-options", "dialect=openai,format=wav")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one command did: its exit code, what it printed, and the lines of the server's log."""

    code: int
    printed: str
    lines: Sequence[Mapping[str, Any]]

    @property
    def answers(self) -> Sequence[Mapping[str, Any]]:
        """The requests for speech that were answered."""
        return [line for line in self.lines if line["kind"] == "answer"]

    @property
    def connections(self) -> Sequence[tuple[int, str]]:
        """The connection of each request for speech, and what its header `Connection` says ("" for nothing)."""
        return [(line["connection"], line["headers"].get("connection", "")) for line in self.answers]

    def bodies(self, text_field: str) -> set[str]:
        """Every body that was asked with, without its text, each once."""
        return {
            json.dumps({name: value for name, value in line["body"].items() if name != text_field}, sort_keys=True)
            for line in self.answers
            if line["body"][text_field] == line["text"]
        }


def seen(run: Command, script: Script, log: Path, *arguments: str) -> Seen:
    """Run a command against a server that does as `script` says; `URL` stands for its address."""
    with log.open("w", encoding="utf-8", buffering=1) as out, serving(script, log=out) as (url, _):
        done = run(*[each.replace("URL", url) for each in arguments])
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    printed = " ".join((done.stdout + done.stderr).split())
    return Seen(code=done.returncode, printed=printed, lines=lines)


def script(*answers: Answer, **options: Any) -> Script:
    return Script(name="test", answers=answers or (QUICK,), cycle=True, **options)


def fields(*, base: Mapping[str, object] = OPENAI, without: Sequence[str] = (), **changes: object) -> set[str]:
    said = {name: value for name, value in {**base, **changes}.items() if name not in without}
    return {json.dumps(said, sort_keys=True)}


@pytest.mark.parametrize(
    ("dialect", "options", "sent"),
    [
        pytest.param("openai", ("--voice", "bf_emma"), fields(voice="bf_emma"), id="a-british-voice"),
        pytest.param(
            "openai",
            ("--voice", "nova", "--language", "zh", "--endpoint-options", "format=mp3,model=tts-1,stream=off"),
            fields(voice="nova", response_format="mp3", model="tts-1", stream=False, lang_code="z"),
            id="everything-chosen",
        ),
        pytest.param(
            "openai",
            ("--voice", "bf_emma+af_heart", "--language", "a", "--leave-out", "stream,model"),
            fields(voice="bf_emma+af_heart", lang_code="a", without=("stream", "model")),
            id="a-blend-and-fields-left-out",
        ),
        pytest.param(
            "raycast",
            ("--voice", "bf_emma", "--endpoint-options", "format=wav"),
            fields(base=RAYCAST, voice="bf_emma", format="wav"),
            id="raycast",
        ),
        pytest.param("raycast", ("--language", "b"), fields(base=RAYCAST, lang="en-gb"), id="raycast-and-a-language"),
    ],
)
def test_a_request_has_what_was_asked_for_and_nothing_else(
    kokoro_bench: Command, tmp_path: Path, dialect: str, options: Sequence[str], sent: set[str]
) -> None:
    """The command finds the dialect by itself: the server speaks only one."""
    found = seen(kokoro_bench, script(dialect=dialect), tmp_path / "log", "validate", "--url", "URL", *ONE, *options)
    assert found.code == 0, found.printed
    # The first inference of a launch, the warm-up and what is measured: all alike.
    assert len(found.answers) == 3
    assert found.bodies("input" if dialect == "openai" else "text") == sent


@pytest.mark.parametrize(
    ("voice", "options", "sent", "language"),
    [
        ("ff_siwis", (), {}, "fr-fr"),
        ("alloy", ("--language", "es"), {"lang_code": "e"}, "es"),
        ("bm_george", (), {}, "en-gb"),
        ("jf_alpha", (), {}, "en-us"),
    ],
)
def test_text_is_in_the_language_of_the_voice_or_of_the_user(
    kokoro_bench: Command, tmp_path: Path, voice: str, options: Sequence[str], sent: Mapping[str, str], language: str
) -> None:
    arguments = ("run", "--url", "URL", "--voice", voice, *options, "--text", "chars-60")
    chosen = ("--launches", "1", "--blocks", "2", "--endpoint-options", "dialect=openai,keep_alive=on")
    found = seen(kokoro_bench, script(), tmp_path / "log", *arguments, *chosen)
    assert found.code == 0, found.printed
    assert found.bodies("input") == fields(voice=voice, **sent)
    measured = {line["text"] for line in found.answers[1:]}  # after the first inference of the launch
    assert len(measured) >= 2
    assert measured <= {each.text for each in Corpus(language=language).variants("chars-60")}


def test_a_run_keeps_its_connection_or_makes_each_anew_as_its_arms_say(kokoro_bench: Command, tmp_path: Path) -> None:
    options = ("--endpoint-options", "dialect=openai", "--text", "chars-12", "--launches", "1", "--blocks", "2")
    found = seen(kokoro_bench, script(), tmp_path / "log", "run", "--url", "URL", *options)
    assert found.code == 0, found.printed
    assert found.bodies("input") == fields()
    used = {kept: [c for c, header in found.connections if header == kept] for kept in ("", "close")}
    # Each arm: a first inference, a warm-up, two blocks.
    assert [len(used[""]), len(set(used[""]))] == [4, 1]
    assert [len(used["close"]), len(set(used["close"]))] == [4, 4]


@pytest.mark.parametrize("kept", ["on", "off"])
def test_a_load_keeps_its_connections_or_makes_each_anew(kokoro_bench: Command, tmp_path: Path, kept: str) -> None:
    options = ("--language", "en-gb", "--leave-out", "model", "--endpoint-options", f"keep_alive={kept},dialect=openai")
    strict = script(refuses="model")
    found = seen(kokoro_bench, strict, tmp_path / "log", "load", "--url", "URL", *LOAD, *options)
    assert found.code in (0, 1), found.printed
    assert found.bodies("input") == fields(lang_code="b", without=("model",))
    used = [connection for connection, _ in found.connections]
    assert {header for _, header in found.connections} == {"" if kept == "on" else "close"}
    # Kept: one for the engine's own first inference, and one for each of two listeners.
    assert len(set(used)) == len(used) if kept == "off" else len(set(used)) <= 3 < len(used)


def test_a_refusal_names_the_field_to_leave_out(kokoro_bench: Command, tmp_path: Path) -> None:
    strict = script(refuses="stream", dialect="openai")
    found = seen(kokoro_bench, strict, tmp_path / "log", "validate", "--url", "URL", *ONE)
    assert found.code == 3, found.printed
    assert "the server does not know the field 'stream' (422): try --leave-out stream" in found.printed
    assert not found.answers


def test_both_sides_of_a_duel_leave_a_field_out(kokoro_bench: Command, tmp_path: Path) -> None:
    strict = script(refuses="stream", dialect="openai")
    options = (*ONE, "--budget", "5s", "--leave-out", "stream")
    found = seen(kokoro_bench, strict, tmp_path / "log", "duel", "format=wav", "--url", "URL", *options)
    assert found.code in (0, 1), found.printed
    assert found.bodies("input") == fields(without=("stream",)) | fields(response_format="wav", without=("stream",))


def test_a_stream_of_wav_files_is_a_fault_that_names_the_second_header(kokoro_bench: Command, tmp_path: Path) -> None:
    pieces = script(Answer(steps=AUDIO, wav_pieces=True))
    found = seen(kokoro_bench, pieces, tmp_path / "log", "validate", "--url", "URL", *ONE, *WAV)
    assert found.code == 1, found.printed  # no answer is valid: the target of success_rate is missed
    # The first failure is shown: that of the warm-up, which comes after the first inference.
    assert f"a second WAV header stands at byte {found.answers[1]['sent_bytes'][0]:,}" in found.printed


def test_a_size_beyond_a_body_that_ended_in_order_is_a_placeholder(kokoro_bench: Command, tmp_path: Path) -> None:
    sizes = (2_000_000_000, 0x7FFFFFFF - 36, 0xFFFFFFFF - 36, 0x80000000, 0xFFFFFF00, 400_000, 0)
    answers = script(*[Answer(steps=AUDIO, wav_size=size) for size in sizes])
    options = (*ONE, *WAV, "--blocks", "5")
    found = seen(kokoro_bench, answers, tmp_path / "log", "validate", "--url", "URL", *options)
    assert found.code == 0, found.printed
    assert len(found.answers) == len(sizes)


def test_a_size_beyond_a_body_whose_end_is_not_proven_is_an_answer_cut_short(
    kokoro_bench: Command, tmp_path: Path
) -> None:
    cut = Answer(steps=(*AUDIO, Step(end=End.CLOSE)), framing=Framing.LENGTH, missing=4_800, wav_size=400_000)
    closed = Answer(steps=AUDIO, framing=Framing.UNTIL_CLOSE, wav_size=400_000)
    answers = script(QUICK, QUICK, cut, closed)
    options = (*ONE, *WAV, "--blocks", "2")
    found = seen(kokoro_bench, answers, tmp_path / "log", "validate", "--url", "URL", *options)
    assert found.code == 1, found.printed
    with open_store(tmp_path / ".kokoro-bench/results.sqlite") as store:
        measured = [each for each in store.load(store.resolve("latest")).repetitions if each.phase is Phase.MEASURED]
    assert [each.outcome.fault for each in measured] == ["truncated", "truncated"]
    assert "before the answer's end" in measured[0].outcome.reason
    assert "nothing but the closed connection says that this was all" in measured[1].outcome.reason
