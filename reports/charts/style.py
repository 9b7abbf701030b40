"""matplotlib in the report's style: real text, colours of the style sheet, and the same bytes for the same input.

matplotlib writes colours and fonts into `style` attributes, which the page's content-security policy forbids and which
cannot follow a dark page. So figures are drawn with a placeholder colour for each role, and each attribute is rewritten
to a class of the style sheet (`f-ink`, `s-quiet`, …) or to a plain attribute.
"""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from markupsafe import Markup

from reports.text.format import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROLES = {
    "ink": "#010101",
    "quiet": "#020202",
    "line": "#030303",
    "faint": "#040404",
    "worse": "#050505",
    "better": "#060606",
    "unclear": "#070707",
    "failed": "#080808",
    "band": "#090909",
    "link": "#0a0a0a",
    "dot": "#0b0b0b",
}
"""Role → the colour that stands for it while matplotlib draws."""

_BY_COLOUR = {colour: role for role, colour in ROLES.items()}
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_PAINT = ("fill", "stroke")
_KEPT = frozenset(
    {
        "stroke-width",
        "stroke-dasharray",
        "stroke-dashoffset",
        "fill-opacity",
        "stroke-opacity",
        "opacity",
        "text-anchor",
    }
)
_WIDE = (16.4, 3.6)
_NARROW = (5.0, 3.9)
"""Inches of 72 px, as in matplotlib's SVG. At these sizes the text is about as large as that of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A figure for wide and for narrow screens, its finding, and how to read it."""

    wide: Markup
    narrow: Markup
    finding: str
    reading: str


def drawn(name: str, draw: "Callable[[Figure], None]", *, finding: str, reading: str) -> Drawn:
    """Draw a figure with `draw` at both widths. `name` makes its ids unique on the page."""
    return Drawn(
        wide=_svg(f"{name}-wide", draw, size=_WIDE, finding=finding),
        narrow=_svg(f"{name}-narrow", draw, size=_NARROW, finding=finding),
        finding=finding,
        reading=reading,
    )


def label_per_cent(axes: "Axes", title: str) -> None:
    """Give the vertical axis, in per cent, its title and ticks of as few decimals as they need."""
    axes.set_title(title)
    axes.yaxis.set_major_formatter(lambda value, _: number(value, 0 if float(value).is_integer() else 1))


def _svg(name: str, draw: "Callable[[Figure], None]", *, size: tuple[float, float], finding: str) -> Markup:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(_style(name)):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_the_page(buffer.getvalue(), finding)


def _style(name: str) -> dict[Any, Any]:  # matplotlib types the keys as literals of its own version
    ink, quiet, line = ROLES["ink"], ROLES["quiet"], ROLES["line"]
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "DejaVu Sans",
        "font.size": 12,
        "axes.titlesize": 12,
        "axes.titlelocation": "left",
        "axes.titlecolor": ink,
        "axes.labelcolor": quiet,
        "axes.edgecolor": line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": ROLES["faint"],
        "grid.linewidth": 0.8,
        "xtick.color": line,
        "ytick.color": line,
        "xtick.labelcolor": quiet,
        "ytick.labelcolor": quiet,
        "text.color": ink,
        "legend.frameon": False,
        "legend.fontsize": 12,
        "lines.linewidth": 1.5,
        "lines.markersize": 6,
        "path.simplify": True,
    }


def _for_the_page(svg: bytes, finding: str) -> Markup:
    root = ET.fromstring(svg)  # noqa: S314 - matplotlib's own output
    size = root.attrib["viewBox"]
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        _restyle(element)
        if (link := element.attrib.pop(_XLINK, None)) is not None:
            element.set("href", link)
        if element.tag == "g" and element.get("id", "").rstrip("0123456789").endswith("_"):
            del element.attrib["id"]  # "axes_1", "text_3": the same in every figure
    root.attrib.clear()
    root.attrib.update({"viewBox": size, "class": "drawn", "role": "img", "aria-label": finding})
    text = ET.tostring(root, encoding="unicode")
    return Markup(re.sub(r">\s+<", "><", text).strip())  # noqa: S704 - serialised by ElementTree, which escapes


def _restyle(element: ET.Element) -> None:
    """Turn a `style` attribute, and colours, into classes and plain attributes."""
    declared: dict[str, str] = {}
    for each in element.attrib.pop("style", "").split(";"):
        name, _, value = each.partition(":")
        declared[name.strip()] = value.strip()
    for name in _PAINT:
        if name in element.attrib:
            declared.setdefault(name, element.attrib.pop(name))
    classes = [_class(name, value) for name, value in declared.items()]
    for name, value in declared.items():
        if name in _KEPT or (name in _PAINT and value not in _BY_COLOUR):
            element.set(name, value)
    if size := re.search(r"([\d.]+)px", declared.get("font") or declared.get("font-size", "")):
        element.set("font-size", size[1])
    if any(classes):
        element.set("class", " ".join(filter(None, classes)))


def _class(name: str, value: str) -> str:
    """The class for the colour of a role; "" for anything else."""
    return f"{name[0]}-{_BY_COLOUR[value]}" if name in _PAINT and value in _BY_COLOUR else ""
