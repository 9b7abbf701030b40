"""Options of engines that make no sense: refused at once with their name, and not when a worker is launched."""

from pathlib import Path

import pytest

from tests.cli.test_bad_input import refused
from tests.conftest import Command

SCRIPTED = ("--engine", "scripted", "--model", "scripted", "--launches", "1", "--blocks", "1")
RUN = ("run", *SCRIPTED, "-k", "chars-12")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("pece=1.2", "a script has no 'pece' — did you mean 'pace'?"),
        ("pace=fast", "the script takes numbers: "),
        ("fault=crush", "the script knows no fault 'crush'; "),
        *((each, f"the script takes no {each}; it must be ") for each in ("pace=0", "pace=-1", "memory=0")),
        *((each, f"the script takes no {each}; it must be ") for each in ("pace=inf", "noise=nan", "leak=-1")),
    ],
)
def test_a_script_is_refused_before_anything_is_measured(
    here: Command, tmp_path: Path, setting: str, told: str
) -> None:
    refused(here(*RUN, "--script", setting), f"kokoro-bench: --script: {told}")
    assert not list(tmp_path.rglob("*.sqlite"))


@pytest.mark.parametrize(
    ("engine", "setting", "told"),
    [
        ("kokoro", "arean=off", "the engine kokoro has no option 'arean' — did you mean 'arena'?"),
        ("kokoro", "arena=maybe", "session option arena takes on or off, not 'maybe'"),
        ("kokoro", "graph_optimization=most", "takes disable, basic, extended, all, not 'most'"),
        ("kokoro-sentences", "inter_threads=two", "session option inter_threads takes a count, not 'two'"),
        ("kokoro-sentences", "window=9", "option window takes a number, "),
        ("kokoro-sentences", "first=none", "option first takes a number, "),
        ("kokoro-sentences", "planned_rtf=5", "option planned_rtf takes a number, "),
        ("kokoro-sentences", "sessions=cpuu:1", "option sessions takes a count, "),
        ("kokoro-sentences", "cached=1", "has no option 'cached' — did you mean 'cache'?"),
        ("kokoro-server", "warm_up=perhaps", "option warm_up takes on or off, not 'perhaps'"),
        ("kokoro-server", "format=mp4", "endpoint option format takes "),
        ("kokoro-server", "dialect=raycast,format=flac", "the dialect raycast has no format 'flac'"),
        ("fastkokoro", "arena=off", "the engine fastkokoro has no option 'arena' — known: "),
        ("fastkokoro", "stream_strategy=none", "fastkokoro option stream_strategy takes "),
        ("sherpa-onnx", "silence_scale=2", "sherpa-onnx option silence_scale takes a number above 0"),
        ("scripted", "arean=off", "the engine scripted has no option 'arean' — did you mean 'arena'?"),
        ("scripted", "script=pece=2", "the script knows no 'pece'"),
    ],
)
def test_an_option_of_an_engine_is_refused_before_anything_is_measured(
    here: Command, tmp_path: Path, engine: str, setting: str, told: str
) -> None:
    command = ("run", "--engine", engine, "--launches", "1", "--blocks", "1", "-k", "chars-12")
    refused(here(*command, "--session-options", setting), "kokoro-bench: --session-options: ", told)
    assert not list(tmp_path.rglob("*.sqlite"))


def test_one_of_the_file_names_the_file(here: Command, tmp_path: Path) -> None:
    section = "[tool.kokoro-bench]\nsession-options = { arean = false }\n"
    (tmp_path / "pyproject.toml").write_text(section, encoding="utf-8")
    refused(here(*RUN), "session-options (", "pyproject.toml", "did you mean 'arena'?")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("duel", *SCRIPTED, "arena=maybe", "current"), "arena=maybe: session option arena takes on or off"),
        (("duel", *SCRIPTED, "script=pece=2", "current"), "script=pece=2: the script knows no 'pece'"),
        (("duel", *SCRIPTED, "script=pace", "current"), "script=pace: the script takes numbers"),
        (
            ("duel", "url=http://127.0.0.1:9,keep_alive=maybe", "url=http://127.0.0.1:9"),
            "keep_alive=maybe: endpoint option keep_alive takes on or off",
        ),
        (("tune", *SCRIPTED, "--try", "arena=maybe"), "--try arena=maybe: session option arena takes on or off"),
        (
            ("optimise", "--engine", "scripted", "scripted", "--try", "arena=maybe"),
            "--try arena=maybe: session option arena takes on or off",
        ),
        (
            ("bisect", "arms", "script=pace=1", "script=pece=1", "script=pace=2", *SCRIPTED),
            "script=pece=1: the script knows no 'pece'",
        ),
        (("serve", "--session-options", "arean=off"), "--session-options: the engine kokoro-sentences has no option"),
        (
            ("load", "--url", "http://127.0.0.1:9", "--endpoint-options", "key_from=NO_SUCH_KEY", "--users", "1"),
            "--endpoint-options: the environment variable NO_SUCH_KEY that key_from names is not set",
        ),
        (("validate", *SCRIPTED, "--script", "pece=1"), "--script: a script has no 'pece'"),
    ],
)
def test_every_command_refuses_it(here: Command, tmp_path: Path, command: tuple[str, ...], told: str) -> None:
    found = here(*command)
    assert found.returncode == 2, found.stdout
    assert told in found.stderr
    assert " — " in found.stderr
    assert "measuring" not in found.stdout
