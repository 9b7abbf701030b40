"""Renders pages and writes them: escaped, with a strict content security policy, and atomically."""

import base64
import hashlib
import re
from contextlib import suppress
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from harness.core.errors import BenchError
from harness.core.files import write_atomically
from reports.text.format import visible
from reports.text.naming import Label

if TYPE_CHECKING:
    from jinja2 import BytecodeCache, Environment


class ReportError(BenchError):
    """A report that cannot be written."""


def render(template: str, **values: object) -> str:
    """A page from a template. Everything in `values` is escaped unless it is Markup."""
    return _environment().get_template(template).render(**values)


def write(path: Path, page: str | bytes) -> None:
    """Write a page atomically, so that a reader never sees half of it. An unchanged page is not written."""
    content = page.encode() if isinstance(page, str) else page
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        write_atomically(path, content, durable=False)
    except OSError as error:
        raise ReportError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(path),
            remedy="name another place with --report DIRECTORY",
        ) from error


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    style, script = (_static(name) for name in ("report.css", "report.js"))
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
        bytecode_cache=_compiled_templates(),
    )
    # Only the page's own style and script are allowed, by their digests. Injected code does not run, and nothing is
    # fetched.
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
    environment.filters["commands"] = commands
    environment.filters["label"] = label
    environment.globals |= {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 - ours
    return environment


def _compiled_templates() -> "BytecodeCache | None":
    """The cache of compiled templates, keyed by their source; None if no cache can be written."""
    from jinja2 import FileSystemBytecodeCache
    from jinja2.bccache import Bucket

    from harness.core.cache_root import default_root

    class Kept(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):  # without the cache, the next report takes a third of a second longer
                super().dump_bytecode(bucket)

    directory = default_root() / "templates"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return Kept(str(directory))


def commands(text: str) -> Markup:
    """A sentence as HTML. Text between backticks is shown as a command; everything is escaped."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # a single backtick is an ordinary character
        return escape(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


@lru_cache(maxsize=1024)  # a page shows each scenario many times, and the next page shows the same ones
def label(name: Label) -> Markup:
    """A scenario's name in two lines: its request, and its arm if the run has several."""
    arm = f"<small>{escape(visible(name.arm))}</small>" if name.arm else ""
    return Markup(f'<span class="label">{escape(visible(name.what))}{arm}</span>')  # noqa: S704 - escaped


def _shown(value: object) -> object:
    """A value for a template. Names with invisible characters show them; HTML made for the page is unchanged."""
    return visible(value) if type(value) is str else value


def _static(name: str) -> str:
    """A static file, without white space at the starts and ends of lines, which browsers do not need."""
    text = files("reports").joinpath("static", name).read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", text).strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
