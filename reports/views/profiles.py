"""The profiles of a run as finished strings and drawings: operators and nodes, and links to the kept traces."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from harness.analysis.node_matching import family
from harness.core.quantities import Figure
from harness.core.records.profile import PartTime, Profiled
from harness.store.traces import read_sheet
from reports.charts.icicle import Block, icicle
from reports.text.format import count
from reports.text.naming import Label, Names

TRACES = "traces"
"""The folder of a site with the traces of its runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLine:
    """An operator or a node: both times in ms, the difference with its interval, and its share of the whole."""

    name: str
    operator: str
    before: str
    after: str
    difference: str
    interval: str
    share: str
    css: str
    order: str
    share_order: str
    """What the columns of the difference and of the share are sorted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLink:
    """A kept trace. `href` is "" if the page has no copy of it beside it."""

    words: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileView:
    """What the profile of one text shows. `paired` says whether there are two sides."""

    label: Label
    paired: bool
    basis: str
    reason: str
    drawing: Markup
    operators: tuple[PartLine, ...]
    nodes: tuple[PartLine, ...]
    left_out: str
    traces: tuple[TraceLink, ...]
    level: str


def profile_views(folder: Path | None, run_id: str, named: Names, *, beside: str = "") -> tuple[ProfileView, ...]:
    """The profiles of a run. `folder` holds the traces of all runs; `beside` is the address of their copies."""
    sheet = read_sheet(folder, run_id) if folder else None
    return tuple(_view(each, named, beside) for each in sheet.profiled) if sheet else ()


def _view(found: Profiled, named: Names, beside: str) -> ProfileView:
    whole = _whole(found)
    paired = bool(found.reference)
    how = f"medians of {count(found.repetitions, 'profiled repetition')}{' a side' if paired else ''}"
    launches = f" in {count(found.launches, 'launch', 'launches')}" if found.launches else ""
    levels = {f"{100 * each.change.level:.2f} %" for each in found.operators if each.change}
    return ProfileView(
        label=named.of(found.candidate),
        paired=paired,
        basis=f"{how}{launches}{', both sides in turns' if paired else ''}" if found.operators else "",
        reason=found.reason,
        drawing=icicle(whole, finding=whole.words) if found.operators else Markup(""),
        operators=tuple(_line(each, whole) for each in found.operators),
        nodes=tuple(_line(each, whole) for each in found.nodes),
        left_out=f"{count(found.left_out, 'shorter node')} left out" if found.left_out else "",
        traces=tuple(
            TraceLink(
                words=f"{f'{each.side}, ' if each.side else ''}launch {each.launch} ({_size(each.size)})",
                href=f"{beside}/{each.file}" if beside else "",
            )
            for each in found.traces
        ),
        level=levels.pop() if len(levels) == 1 else "",
    )


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB"


def _whole(found: Profiled) -> Block:
    """All nodes, operators inside them, and the listed nodes inside the operators."""
    paired = bool(found.reference)
    inside = {each.operator: [node for node in found.nodes if _belongs(node, each)] for each in found.operators}
    return Block(
        label="all nodes",
        before=sum(each.before or 0.0 for each in found.operators) if paired else None,
        after=sum(each.after for each in found.operators),
        inside=tuple(
            Block(
                label=each.operator,
                before=each.before,
                after=each.after,
                inside=tuple(
                    Block(label=f"{node.node} {node.shape}".strip(), before=node.before, after=node.after)
                    for node in inside[each.operator]
                ),
            )
            for each in found.operators
        ),
    )


def _belongs(node: PartTime, operator: PartTime) -> bool:
    """Whether a node is of an operator type, or of another of its family: both may name several types."""
    return bool(_families(node.operator) & _families(operator.operator))


def _families(label: str) -> set[str]:
    return {family(name) for name in label.replace(" → ", " + ").split(" + ")}


def _line(part: PartTime, whole: Block) -> PartLine:
    moved = None if part.before is None else part.after - part.before
    change = part.change
    stands_out = change is not None and (change.low > 0 or change.high < 0)
    share = part.after / whole.after if moved is None and whole.after else None
    if moved is not None and whole.difference:
        share = moved / whole.difference
    return PartLine(
        name=(f"{part.node} {part.shape}" if part.node else part.operator).strip(),
        operator=part.operator,
        before="–" if part.before is None else f"{1e3 * part.before:.3f}",
        after=f"{1e3 * part.after:.3f}",
        difference="–" if moved is None else f"{Figure(1e3 * moved):+.3f}",
        interval=f"{Figure(1e3 * change.low):+.3f} to {Figure(1e3 * change.high):+.3f}" if change else "–",
        share="–" if share is None else f"{100 * share:.1f} %",
        css=("worse" if moved and moved > 0 else "better") if stands_out else "same",
        order="" if moved is None else f"{moved:.9f}",
        share_order="" if share is None else f"{share:.6f}",
    )
