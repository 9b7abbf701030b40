"""Each command on the task pages runs as printed, and each shown output has the words of the real one.

A page is Markdown. Its fenced blocks are told apart by the first word after the fence:

- `bash`: commands, run in order in one empty directory. `exit=N` names the expected exit code where it is not 0.
- `bash server`: one command that keeps running while the rest of the page is tried.
- `text`: output of the block of commands before it.
- `yaml`, `toml`, `python`: files for the reader, which are parsed. `file=NAME` writes it before the next commands.

A comment `<!-- not run by a test: REASON -->` before a block of commands excludes it; `NOT_RUN` counts these.
"""

import ast
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from tests import forking

ROOT = Path(harness.__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    "get-started",
    "run-in-ci",
    "compare-two-versions",
    "find-the-change",
    "measure-your-server",
    "choose-model-and-provider",
    "worked-example",
    "nightly-runs",
    "when-a-verdict-surprises-you",
)
NOT_RUN = 11
"""Blocks of commands that no test runs: they install packages, take minutes, or need another machine."""
LEAST_COMMANDS = 4
LINES = range(60, 131)
OWN_LINES = {"worked-example": range(60, 201)}
"""The limits of a page that contains a program, and follows it through the other pages."""

SCRIPTED = {"KOKORO_BENCH_ENGINE": "scripted", "KOKORO_BENCH_MODEL": "scripted", "KOKORO_BENCH_TEXT": "chars-200"}
"""What the tests measure in place of the real engine: the scripted engine computes its times and waits for nothing."""
SHORT = {"KOKORO_BENCH_LAUNCHES": "1", "KOKORO_BENCH_BLOCKS": "2"}
CERTAIN = {**SCRIPTED, "KOKORO_BENCH_LAUNCHES": "2", "KOKORO_BENCH_BLOCKS": "3"}
"""The least that lets a duel call a change of 20 % better or worse."""
SHORT_LOAD = "--users 1,2 --seconds 0.5s --warm-up 0.1s --cool-down 0.1s"
STAND_INS = (
    ("replica-small-u8", "scripted-8bit"),
    ("replica-small", "scripted"),
    ("replica-u8", "scripted-8bit"),
    ("model=replica", "model=scripted"),
    # Enough for so large a change, on a busy machine too. With two launches, one that differs would hide it.
    ("HEAD~1 --text chars-60", "HEAD~1 --launches 3 --blocks 3"),
    # Its users never wait, so each second of load costs one of CPU time.
    ("load --server hum --users 1,2 --seconds 2s --warm-up 0.5s --cool-down 0.5s", f"load --server hum {SHORT_LOAD}"),
    # A job waits until no other process uses the machine; the tests run in parallel.
    ("busy-cpus = 0.5", "busy-cpus = 1000"),
)
"""(what a page says, what the test puts in its place), in commands and in shown outputs."""
UNITS = {"ms", "s", "s/s", "1/s", "kB", "MB", "GB", "dB"}
PORT = "8880"
OWN_ENVIRONMENT: dict[str, dict[str, str]] = {
    # A page that starts its own server needs no stand-in for the engine.
    "measure-your-server": {"KOKORO_BENCH_BLOCKS": "1"},
    "choose-model-and-provider": CERTAIN,
    "compare-two-versions": CERTAIN,
    "find-the-change": CERTAIN,
    "run-in-ci": CERTAIN,
    "worked-example": {
        "KOKORO_BENCH_TEXT": "chars-12",
        "KOKORO_BENCH_LAUNCHES": "1",
        "KOKORO_BENCH_BLOCKS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_{what}": "me@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    },
}

BLOCK = re.compile(
    r"(?:^<!-- not run by a test: (?P<reason>[^\n]+) -->\n)?^```(?P<info>\w[^\n]*)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pages are written for bash")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block: its first word, the words after it, its lines, and why it is not run ("" if it is)."""

    kind: str
    attributes: tuple[str, ...]
    body: str
    reason: str

    @property
    def exit_code(self) -> int:
        """The exit code that the page names for the last command."""
        return next((int(each.removeprefix("exit=")) for each in self.attributes if each.startswith("exit=")), 0)

    @property
    def file(self) -> str:
        """The file that the reader makes of it; "" for none."""
        return next((each.removeprefix("file=") for each in self.attributes if each.startswith("file=")), "")

    @property
    def is_run(self) -> bool:
        """Whether a test runs it in the foreground."""
        return self.kind == "bash" and "server" not in self.attributes and not self.reason


def text_of(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def blocks_of(text: str) -> list[Block]:
    return [
        Block(
            kind=found["info"].split()[0],
            attributes=tuple(found["info"].split()[1:]),
            body=found["body"],
            reason=found["reason"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


def replaced(text: str, stand_ins: tuple[tuple[str, str], ...] = STAND_INS) -> str:
    for shown, tried in stand_ins:
        text = text.replace(shown, tried)
    return text


def fixed_words(text: str) -> set[str]:
    """The words of an output that are the same in every run: no digits, no units, no rules of a table."""
    words = set(text.split()) - UNITS
    return {word for word in words if re.search("[A-Za-z]", word) and not re.search("[0-9]", word)}


@pytest.fixture(scope="module")
def command_on_path() -> Iterator[Path]:
    """A folder with the command `kokoro-bench`, which starts without importing anything anew."""
    # Not pytest's folder: a socket's path may have 104 bytes, and that is longer on some systems.
    with tempfile.TemporaryDirectory() as folder, forking.command_in(Path(folder)) as found:
        yield found


@pytest.fixture
def environment(tmp_path: Path, command_on_path: Path) -> dict[str, str]:
    """The environment of a user who has installed kokoro-bench, and not the tools that judge speech."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("KOKORO_BENCH_", "PYTEST_"))}
    ours.pop("GITHUB_STEP_SUMMARY", None)
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    path = os.pathsep.join([str(command_on_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    cache, state = str(tmp_path / ".cache"), str(tmp_path / ".state")
    own = {"KOKORO_BENCH_CACHE": cache, "KOKORO_BENCH_QUALITY": "off", "XDG_STATE_HOME": state, "PYTHONUTF8": "1"}
    return {**ours, "PATH": path, **own}


@contextmanager
def serving(command: str, *, directory: Path, environment: dict[str, str]) -> Iterator[str]:
    """Start a server on a free port. Yields that port, which the server prints once it listens."""
    server = subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *shlex.split(command.replace(PORT, "0"))[1:]],
        cwd=directory,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert server.stdout is not None
    try:
        first = server.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", first)
        assert found, f"the server says no address: {first!r}"
        yield found[1]
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate()
    assert server.returncode == 0, f"{command} ended with {server.returncode}"


def run_block(block: Block, body: str, *, directory: Path, environment: dict[str, str]) -> str:
    """Run the commands of a block; each but the last has to succeed. Returns what they print."""
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", body],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == block.exit_code, f"{body}ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_each_command_runs_as_printed(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    directory = tmp_path / "project"
    directory.mkdir()
    blocks = blocks_of(text_of(page))
    servers = [block for block in blocks if "server" in block.attributes and not block.reason]
    assert len(servers) <= 1, "one server a page, so that its port is known"
    everywhere = {**environment, **SHORT, **OWN_ENVIRONMENT.get(page, SCRIPTED)}
    if not servers:
        try_page(blocks, STAND_INS, directory=directory, environment=everywhere)
        return
    with serving(servers[0].body, directory=directory, environment=everywhere) as port:
        try_page(blocks, (*STAND_INS, (PORT, port)), directory=directory, environment=everywhere)


def try_page(
    blocks: list[Block], stand_ins: tuple[tuple[str, str], ...], *, directory: Path, environment: dict[str, str]
) -> None:
    """Run the blocks in order, and look for the words of each shown output in the real one."""
    output = ""
    for block in blocks:
        body = replaced(block.body, stand_ins)
        if block.file:
            (directory / block.file).write_text(block.body, encoding="utf-8")
        elif block.kind == "bash":
            runs = block.is_run
            output = run_block(block, body, directory=directory, environment=environment) if runs else ""
        elif block.kind == "text" and output:
            missing = fixed_words(body) - fixed_words(output)
            assert not missing, f"the page shows {sorted(missing)}, which are not in the output:\n{output}"


@pytest.mark.parametrize("page", PAGES)
def test_page_is_short_and_its_files_parse(page: str) -> None:
    text = text_of(page)
    assert len(text.splitlines()) in OWN_LINES.get(page, LINES)
    readers: dict[str, Any] = {"yaml": yaml.safe_load, "toml": tomllib.loads, "python": ast.parse}
    blocks = blocks_of(text)
    for block in blocks:
        assert block.kind in ("bash", "text", *readers), f"a block of kind {block.kind!r}"
        if block.kind in readers:
            assert readers[block.kind](block.body)
    commands = [line for block in blocks if block.is_run for line in block.body.splitlines()]
    assert sum(line.startswith("kokoro-bench ") for line in commands) >= LEAST_COMMANDS


def test_few_commands_are_excluded() -> None:
    excluded = [block.reason for page in PAGES for block in blocks_of(text_of(page)) if block.reason]
    assert len(excluded) <= NOT_RUN, excluded


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page))
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_readme_names_every_page() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert [page for page in PAGES if f"(docs/{page}.md)" not in readme] == []
