import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.mock_server import mock_server
from harness.core.errors import UsageError
from harness.server.mock.builtin import SCRIPTS
from harness.server.mock.script import Answer, End, Framing, Freeze, Script, Step, Voice, WhenFull
from harness.server.mock.script_file import find_script

FULL = """
meaning = "everything that a script can say"
dialect = "raycast"
cycle = true
cached = true
freeze = { at_ms = 100, for_ms = 50 }
capacity = 3
leak_bytes = 4096
when_full = "refuse"

[[answers]]
framing = "length"
voice = "mixed"
sample_rate = 16000
headers = { "X-Cache" = "HIT", "Retry-After" = 3 }
steps = [
  { wait_ms = 10 }, { wait_share = 0.5 }, { header = true }, { silence_ms = 20 }, { text = "é" }, { hex = "00 ff" },
  { steps = [{ audio_ms = 5 }, { audio_share = 0.25 }], repeat = 3 }, { end = "reset" },
]

[[answers]]
status = 503
"""


def test_a_script_is_read_from_toml_and_json_alike(tmp_path: Path) -> None:
    import tomllib

    (tmp_path / "full.toml").write_text(FULL, encoding="utf-8")
    (tmp_path / "full.json").write_text(json.dumps(tomllib.loads(FULL)), encoding="utf-8")
    expected = Script(
        name="full",
        meaning="everything that a script can say",
        dialect="raycast",
        cycle=True,
        cached=True,
        freeze=Freeze(at_ms=100, for_ms=50),
        capacity=3,
        leak_bytes=4_096,
        when_full=WhenFull.REFUSE,
        answers=(
            Answer(
                framing=Framing.LENGTH,
                voice=Voice.MIXED,
                sample_rate=16_000,
                headers=(("X-Cache", "HIT"), ("Retry-After", "3")),
                steps=(
                    Step(wait_ms=10),
                    Step(wait_share=0.5),
                    Step(header=True),
                    Step(silence_ms=20),
                    Step(body="é".encode()),
                    Step(body=b"\x00\xff"),
                    Step(steps=(Step(audio_ms=5), Step(audio_share=0.25)), repeat=3),
                    Step(end=End.RESET),
                ),
            ),
            Answer(status=503),
        ),
    )
    assert find_script(str(tmp_path / "full.toml")) == expected
    assert find_script(str(tmp_path / "full.json")) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "`answers` is a list with at least one answer"),
        ("answers = []", "`answers` is a list with at least one answer"),
        ("answers = [1]", "answer 1: a answer is a table"),
        ("[[answers]]\nstep = []", "answer 1: unknown key 'step' — did you mean 'steps'?"),
        ("[[answers]]\nsteps = 1", "answer 1: `steps` is a list"),
        ("[[answers]]\nsteps = [{}]", "answer 1, step 1: a step has one key"),
        ("[[answers]]\nsteps = [{wait_ms = 1, audio_ms = 1}]", "answer 1, step 1: a step has one key"),
        ("[[answers]]\nsteps = [{wait_ms = 1, repeat = 2}]", "only `steps` has `repeat` beside it"),
        ("[[answers]]\nsteps = [{wait = 1}]", "answer 1, step 1: there is no step 'wait'"),
        ("[[answers]]\nsteps = [{wait_ms = -1}]", "`wait_ms` is a number, at least 0, not -1"),
        ("[[answers]]\nsteps = [{wait_ms = true}]", "`wait_ms` is a number, at least 0, not True"),
        ("[[answers]]\nsteps = [{audio_ms = inf}]", "`audio_ms` is a number, at least 0, not inf"),
        ("[[answers]]\nsteps = [{hex = 'zz'}]", "`hex` holds no hexadecimal bytes"),
        ("[[answers]]\nsteps = [{end = 'explode'}]", "'explode' is none of close, reset, hang"),
        ("[[answers]]\nsteps = [{steps = [{wait_ms = 1}], repeat = -1}]", "`repeat` is a count, or 0 for no end"),
        ("[[answers]]\nsteps = [{steps = [{nap_ms = 1}]}]", "answer 1, step 1, step 1: there is no step 'nap_ms'"),
        ("[[answers]]\nframing = 'boxed'", "answer 1, framing: 'boxed' is none of chunked, length, until-close"),
        ("[[answers]]\nstatus = 'fine'", "`status` is a whole number, at least 200, not 'fine'"),
        ("[[answers]]\ngzip = 1", "`gzip` is true or false, not 1"),
        ("[[answers]]\nsample_rate = 0", "`sample_rate` is a whole number, at least 1, not 0"),
        ("[[answers]]\nheaders = 1", "`headers` is a table"),
        ("capacity = -1\n[[answers]]", "`capacity` is a whole number, at least 0, not -1"),
        ("when_full = 'shout'\n[[answers]]", "when_full: 'shout' is none of wait, refuse"),
        ("dialect = 'french'\n[[answers]]", "`dialect` is openai, raycast or both, not 'french'"),
        ("cycle = 'yes'\n[[answers]]", "`cycle` is true or false, not 'yes'"),
        ("freeze = {at_ms = 1}\n[[answers]]", "freeze: a freeze has at_ms and for_ms"),
        ("not toml", "not TOML: "),
    ],
)
def test_what_is_wrong_with_a_script_is_named_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        find_script(str(tmp_path / "bad.toml"))
    assert said in str(caught.value)
    assert str(tmp_path / "bad.toml") in str(caught.value)


def test_a_name_that_is_no_script_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="no built-in script 'stal' — did you mean 'stall'"):
        find_script("stal")
    with pytest.raises(UsageError, match="cannot read the script: No such file"):
        find_script("missing.toml")


def test_answers_go_on_with_the_last_or_begin_again() -> None:
    answers = (Answer(status=200), Answer(status=503))
    assert [Script(name="a", answers=answers).answer(n).status for n in range(4)] == [200, 503, 503, 503]
    assert [Script(name="a", answers=answers, cycle=True).answer(n).status for n in range(4)] == [200, 503, 200, 503]


def test_every_built_in_script_is_found_by_its_name_and_listed_with_its_meaning() -> None:
    assert find_script("stall") is SCRIPTS["stall"]
    listed = CliRunner().invoke(mock_server, ["--list"]).output
    for script in SCRIPTS.values():
        assert script.meaning
        assert f"{script.name} " in listed
        assert script.meaning in listed


def test_a_server_without_a_script_says_how_to_find_one() -> None:
    with pytest.raises(UsageError, match="kokoro-bench mock-server --list"):
        CliRunner().invoke(mock_server, [], catch_exceptions=False)
