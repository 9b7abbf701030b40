"""Pages as text, and their way to the disk: escaped, with a policy that lets nothing in, and written at once."""

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
    """A page from a template; everything in `values` is escaped unless it is Markup."""
    return _environment().get_template(template).render(**values)


def write(path: Path, page: str | bytes) -> None:
    """Put a page in its place at once, so that nobody ever opens half of one; one that is the same stays untouched."""
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
    # The page's own style and script, known by their digests, and nothing else: what a hostile name might bring does
    # not run, and nothing is ever fetched.
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "media-src data:; base-uri 'none'; form-action 'none'"
    )
    environment.filters["commands"] = commands
    environment.filters["label"] = label
    environment.globals |= {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 - ours
    return environment


def _compiled_templates() -> "BytecodeCache | None":
    """Where templates are kept as Python has compiled them, known by their source; None where nothing can be kept."""
    from jinja2 import FileSystemBytecodeCache
    from jinja2.bccache import Bucket

    from harness.models.cache import default_root

    class Kept(FileSystemBytecodeCache):
        def dump_bytecode(self, bucket: Bucket) -> None:
            with suppress(OSError):  # a full disk costs the next report a third of a second
                super().dump_bytecode(bucket)

    directory = default_root() / "templates"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return Kept(str(directory))


def commands(text: str) -> Markup:
    """A sentence in which what stands between backticks is shown as a command; everything is escaped."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without a partner is a backtick
        return escape(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


@lru_cache(maxsize=1024)  # a page shows each of its scenarios many times, and the next page the same
def label(name: Label) -> Markup:
    """A scenario's name in two lines: what it asks for, and of which arm where there are several."""
    arm = f"<small>{escape(visible(name.arm))}</small>" if name.arm else ""
    return Markup(f'<span class="label">{escape(visible(name.what))}{arm}</span>')  # noqa: S704 - escaped


def _shown(value: object) -> object:
    """What a template writes: names that hide something show it; what was made for the page passes."""
    return visible(value) if type(value) is str else value


def _static(name: str) -> str:
    """One of our own files, without the white space at the line ends and starts that a browser does not need."""
    text = files("reports").joinpath("static", name).read_text(encoding="utf-8")
    return re.sub(r"\n\s*", "\n", text).strip()


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
