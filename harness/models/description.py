"""What is known of a model, as `models show` prints it and as JSON."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.models.catalogue import Details


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
