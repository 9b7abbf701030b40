"""Normalises CPU names: removes clock readings, which vary between boots, and vendors' decorations."""

import re

_ARM_PARTS = {
    (0x41, 0xC07): "Cortex-A7",
    (0x41, 0xC0F): "Cortex-A15",
    (0x41, 0xD03): "Cortex-A53",
    (0x41, 0xD04): "Cortex-A35",
    (0x41, 0xD05): "Cortex-A55",
    (0x41, 0xD07): "Cortex-A57",
    (0x41, 0xD08): "Cortex-A72",
    (0x41, 0xD09): "Cortex-A73",
    (0x41, 0xD0A): "Cortex-A75",
    (0x41, 0xD0B): "Cortex-A76",
    (0x41, 0xD0C): "Neoverse-N1",
    (0x41, 0xD0D): "Cortex-A77",
    (0x41, 0xD40): "Neoverse-V1",
    (0x41, 0xD41): "Cortex-A78",
    (0x41, 0xD44): "Cortex-X1",
    (0x41, 0xD46): "Cortex-A510",
    (0x41, 0xD47): "Cortex-A710",
    (0x41, 0xD48): "Cortex-X2",
    (0x41, 0xD49): "Neoverse-N2",
    (0x41, 0xD4B): "Cortex-A78C",
    (0x41, 0xD4D): "Cortex-A715",
    (0x41, 0xD4E): "Cortex-X3",
    (0x41, 0xD4F): "Neoverse-V2",
    (0x41, 0xD80): "Cortex-A520",
    (0x41, 0xD81): "Cortex-A720",
    (0x41, 0xD82): "Cortex-X4",
    (0x41, 0xD84): "Neoverse-V3",
    (0x46, 0x001): "A64FX",
    (0x48, 0xD01): "Kunpeng-920",
    (0x51, 0x001): "Oryon",
    (0xC0, 0xAC3): "Ampere-1",
    (0xC0, 0xAC4): "Ampere-1a",
}
"""(implementer, part) of the main ID register → core. Other cores are named by their numbers."""

_DECORATIONS = re.compile(
    r"\((?:r|tm|c)\)|[®™]|@.*$|\bcpu\b|\b(?:\d+|dual|quad|six|eight)-core\b|\bprocessor\b", re.IGNORECASE
)


def tidy(name: str) -> str:
    """`Intel(R) Xeon(R) CPU E5-2673 v4 @ 2.30GHz` → `Intel Xeon E5-2673 v4`: no decorations, no nominal clock."""
    return " ".join(_DECORATIONS.sub(" ", name).split())


def arm_core(implementer: int, part: int) -> str:
    """The core's name, or its numbers if the name is unknown."""
    return _ARM_PARTS.get((implementer, part), f"ARM implementer {implementer:#04x} part {part:#05x}")


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens, without parenthesised text."""
    plain = re.sub(r"\([^)]*\)", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
