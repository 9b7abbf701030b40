"""The files that `kokoro-bench ci` writes: templates filled with what the user chose."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from harness.core.errors import UsageError
from harness.core.output_files import check_file, write_whole
from harness.core.quantities import as_seconds

HEADER: Final = "# Made by: "
"""Begins the first line of a file that this command wrote, and may write again."""
INSTALL: Final = "python -m pip install kokoro-bench"
NIGHTLY: Final = "--full --budget 60m"
CRON: Final = "17 3 * * *"
HISTORY_BRANCH: Final = "kokoro-bench-history"

GITHUB: Final[Mapping[str, str]] = {
    ".github/workflows/kokoro-bench.yml": "github-pull-request.yml",
    ".github/workflows/kokoro-bench-comment.yml": "github-comment.yml",
    ".github/workflows/kokoro-bench-nightly.yml": "github-nightly.yml",
}
"""File → its template."""
GITLAB: Final[Mapping[str, str]] = {".gitlab/kokoro-bench.yml": "gitlab.yml"}
GITLAB_MAIN: Final = ".gitlab-ci.yml"
GITLAB_INCLUDE: Final = "include:\n  - local: .gitlab/kokoro-bench.yml\n"

_TEXT = re.compile(r"[^\x00-\x1f\x7f]*")
_CRON = re.compile(r"[\dA-Za-z*,/-]+( [\dA-Za-z*,/-]+){4}")
_ARM = re.compile(r"([\w.:/@+=-]+(,[\w.:/@+=-]+)*)?", re.ASCII)
_PYTHON = re.compile(r"3\.\d{1,2}")
_OWN_IMPORT = re.compile(r"^from harness\..*\n\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the user chose. `command` is the command line that makes the same files again."""

    command: str
    install: str = INSTALL
    arm: str = ""
    """What both sides of the duel share beside their revisions, such as `server=bells`."""
    duel_options: str = ""
    nightly_options: str = NIGHTLY
    budget: str = "4m"
    python: str = "3.13"
    cron: str = CRON
    history: str = "branch"
    """Where the nightly runs are kept: branch or cache."""
    pages: bool = True
    strict: bool = False

    def check(self) -> None:
        """UsageError for a value that would make no valid workflow."""
        for option, text in (
            ("--install", self.install),
            ("--duel-options", self.duel_options),
            ("--nightly-options", self.nightly_options),
        ):
            _require(bool(_TEXT.fullmatch(text)), "has more than one line", f"{option} {text!r}", "write one line")
            try:
                shlex.split(text)
            except ValueError as error:
                raise UsageError(
                    f"is no command line: {error}", where=f"{option} {text!r}", remedy="close every quote"
                ) from error
        _require(bool(self.install.strip()), "is empty", "--install", f"for example --install '{INSTALL}'")
        try:
            as_seconds(self.budget)
        except ValueError as error:
            raise UsageError(str(error), where=f"--budget {self.budget!r}", remedy="--budget 4m") from error
        _require(bool(_ARM.fullmatch(self.arm)), "is no part of a side", f"--arm {self.arm!r}", "--arm server=NAME")
        _require(bool(_CRON.fullmatch(self.cron)), "is not five fields", f"--cron {self.cron!r}", f"--cron '{CRON}'")
        _require(bool(_PYTHON.fullmatch(self.python)), "is no version", f"--python {self.python!r}", "--python 3.13")


def _require(holds: bool, what: str, where: str, remedy: str) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise UsageError(what, where=where, remedy=remedy)


def workflow_files(kind: Mapping[str, str], choices: Choices) -> dict[str, str]:
    """File (relative to the root of the repository) → its content."""
    choices.check()
    return {file: _filled(template, choices) for file, template in kind.items()}


def write_files(root: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write the files and return their paths. UsageError, before any is written, for a file that a person wrote."""
    for name in contents:
        file = root / name
        if file.exists() and not _first_line(file).startswith(HEADER):
            raise UsageError(
                f"was not written by kokoro-bench (its first line does not begin with {HEADER.strip()!r})",
                where=str(file),
                remedy="move it away, and run the command again",
            )
        check_file(file, where=name)
    for name, content in contents.items():
        write_whole(root / name, content.encode(), where=name)
    return [root / name for name in contents]


def _first_line(file: Path) -> str:
    """The first line of a file; "" for what cannot be read as one."""
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return opened.readline()
    except OSError:
        return ""


def _filled(template: str, choices: Choices) -> str:
    from jinja2 import Environment, StrictUndefined

    folder = files("harness.ci")
    # Not the usual marks: workflows have braces of their own.
    environment = Environment(
        variable_start_string="[[", variable_end_string="]]",
        block_start_string="[%", block_end_string="%]",
        comment_start_string="[#", comment_end_string="#]",
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        undefined=StrictUndefined, autoescape=False,  # noqa: S701 - YAML, not HTML
    )  # fmt: skip
    text = folder.joinpath("templates", template).read_text(encoding="utf-8")
    filled = environment.from_string(text).render(
        choices=choices,
        branch=HISTORY_BRANCH,
        program=_program,
        arm=f"{choices.arm}," if choices.arm else "",
        duel_options=_spaced(choices.duel_options),
        nightly_options=_spaced(choices.nightly_options),
        strict=" --strict" if choices.strict else "",
    )
    return f"{HEADER}{choices.command}\n{filled}"


def _program(name: str) -> str:
    """A program that writes comments: one file, whose own imports stand before it."""
    text, program = (
        files("harness.ci").joinpath(file).read_text(encoding="utf-8") for file in ("comment_text.py", f"{name}.py")
    )
    return f"{text}\n\n{_OWN_IMPORT.sub('', program)}".rstrip("\n")


def _spaced(options: str) -> str:
    return f" {options.strip()}" if options.strip() else ""
