"""Writes pages: the one place of the report that touches the disk."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BenchError
from harness.records.run import RunData
from reports.view import NO_REFERENCE, Reference, run_view
from reports.words import visible

if TYPE_CHECKING:
    from jinja2 import Environment


class ReportError(BenchError):
    """A report that cannot be written."""


def write_run_page(data: RunData, path: Path, *, reference: Reference = NO_REFERENCE) -> Path:
    """Write one self-contained page of one run, and return its path. The same run gives the same bytes.

    `reference` says what the run is compared with, beyond what its verdicts say. ReportError where the disk refuses.
    """
    from reports.course import course

    view = run_view(data, reference=reference, course=course(data))
    write(path, render("run.html", run=view, legend=view.legend))
    return path


def render(template: str, **values: object) -> str:
    """A page from a template; everything in `values` is escaped unless it is Markup."""
    return _environment().get_template(template).render(**values)


def write(path: Path, text: str) -> None:
    """Put a page in its place at once, so that nobody ever opens half of one."""
    half = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(text.encode())
        half.replace(path)
    except OSError as error:
        raise ReportError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(path),
            remedy="name another place with --output",
        ) from error


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    style, script = (_static(name) for name in ("report.css", "report.js"))
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )
    # The page's own style and script, known by their digests, and nothing else: what a hostile name might bring does
    # not run, and nothing is ever fetched.
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "media-src 'self' data:; base-uri 'none'; form-action 'none'"
    )
    environment.globals |= {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 - ours
    return environment


def _shown(value: object) -> object:
    """What a template writes: names that hide something show it; what was made for the page passes."""
    return visible(value) if type(value) is str else value


def _static(name: str) -> str:
    """One of our own files, without the white space at the line ends and starts that a browser does not need."""
    text = files("reports").joinpath("static", name).read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", text).strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
