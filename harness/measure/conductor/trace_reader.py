"""Reads the traces of ONNX Runtime's profiler: JSON in Chrome's trace format, one event for each run of a node."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.records.profile import UNNAMED, Node, Profile

CONTAINERS = ("Loop", "If", "Scan")
"""Operators whose duration includes the nodes inside them, which have their own events."""
KERNEL = "_kernel_time"
ARENA = "mem_arena_held"
"""Bytes that the arena holds after a node. Versions of ONNX Runtime that do not count them leave it out."""

_Event = Mapping[str, Any]


def read_profile(content: bytes, *, repetitions: int = 0) -> Profile:
    """Read the JSON that ONNX Runtime writes. A trace that cannot be read is a profile with a reason.

    Its runs are the engine's first inference (one run), one warm-up, and `repetitions` repetitions. A repetition of a
    long text is several runs; every repetition has the same number of runs.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        return Profile(reason=f"the profile is not JSON: {error}")
    if not isinstance(found, list):
        return Profile(reason="the profile has another format: it is no list of events")
    try:
        return _read([event for event in found if isinstance(event, dict)], repetitions)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Profile(reason=f"the profile has another format: {type(error).__name__}: {error}")


def _read(events: list[_Event], repetitions: int) -> Profile:
    kernels = [each for each in events if each.get("cat") == "Node" and str(each.get("name", "")).endswith(KERNEL)]
    if not kernels:
        return Profile(reason="the profile has no node in it")
    own = _own_times(kernels)
    nodes: Counter[str] = Counter()
    microseconds: Counter[str] = Counter()
    for event, duration in zip(kernels, own, strict=True):
        provider = str(event["args"].get("provider") or "unknown")
        nodes[provider] += 1
        microseconds[provider] += duration
    by_node = _per_repetition(events, kernels, own, repetitions=repetitions) if repetitions else {}
    return Profile(
        nodes=dict(nodes),
        microseconds=dict(microseconds),
        operators=added_by_operator(by_node),
        by_node=by_node,
        arena=max((int(each["args"][ARENA]) for each in kernels if ARENA in each["args"]), default=None),
    )


def added_by_operator(by_node: Mapping[Node, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """Operator type → the time of its nodes, repetition by repetition."""
    found: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    for node, times in by_node.items():
        found[node.operator].append(times)
    return {name: tuple(map(sum, zip(*found[name], strict=True))) for name in sorted(found)}


def _own_times(kernels: Sequence[_Event]) -> list[int]:
    """Each event's own duration (µs): the duration of a container excludes the nodes inside it."""
    containers = [each for each in kernels if each["args"].get("op_name") in CONTAINERS]
    own = []
    for event in kernels:
        duration = int(event["dur"])
        if any(event is each for each in containers):
            inside = [each for each in kernels if each is not event and _within(each, event)]
            # Nodes of a nested container are counted with the nested container.
            nested = [each for each in inside if each["args"].get("op_name") in CONTAINERS]
            direct = [each for each in inside if not any(each is not one and _within(each, one) for one in nested)]
            duration = max(0, duration - sum(int(each["dur"]) for each in direct))
        own.append(duration)
    return own


def _within(inner: _Event, outer: _Event) -> bool:
    return bool(outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"])


def _per_repetition(
    events: Sequence[_Event], kernels: Sequence[_Event], own: Sequence[int], *, repetitions: int
) -> dict[Node, tuple[float, ...]]:
    """Node → microseconds of each repetition."""
    runs = sorted((each for each in events if each.get("name") == "model_run"), key=lambda each: int(each["ts"]))
    each_has = (len(runs) - 1) // (1 + repetitions)
    if each_has < 1:
        return {}
    measured = runs[-each_has * repetitions :]
    found: dict[Node, list[float]] = {}
    for event, duration in zip(kernels, own, strict=True):
        for place, run in enumerate(measured):
            if _within(event, run):
                found.setdefault(_node(event), [0.0] * repetitions)[place // each_has] += duration
                break
    return {node: tuple(times) for node, times in found.items()}


def _node(event: _Event) -> Node:
    """The node of an event. A subgraph that a provider runs as a whole has the provider's name as its operator."""
    args = event["args"]
    operator = str(args.get("op_name", "unknown"))
    operator = operator.rsplit("_", 1)[0] if "subgraph" in operator else operator
    # A leading slash would make the name a path of a file, which texts that leave the store do not show.
    name = str(event["name"]).removesuffix(KERNEL).lstrip("/") or f"{UNNAMED}{args.get('node_index', '')}"
    outputs = args.get("output_type_shape") or [{}]
    dimensions = next(iter(outputs[0].values()), ())
    return Node(name=name, operator=operator, shape="×".join(map(str, dimensions)))
