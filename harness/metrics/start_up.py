"""Metrics of launches: the time to load, and memory after loading, at the peak and over time."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import median

from harness.core.records.repetition import Launch, Memory, Phase, Repetition
from harness.core.records.scenario import Mode, Scenario
from harness.core.records.value import Reading, known, unknown
from harness.metrics.per_request import total_ns
from harness.metrics.playback import NS
from harness.metrics.values import Placed

INTERPRETER = "interpreter"
"""The part that is recorded and not counted: an embedding application already runs an interpreter."""
FIRST_INFERENCE = "first_inference"
FIRST_AUDIO = "first_audio"
"""The beginning of a server's first inference, until audio has come. It is no part of its own."""
SERVER_PARTS = ("listening", "ready", FIRST_AUDIO)
"""What a server's start-up is split into, if the harness starts it."""
ENGINE_PARTS = ("import", "session", "voices", "phonemiser")
"""What an engine's start-up in a worker is split into."""
LOAD_PARTS = (*ENGINE_PARTS, *SERVER_PARTS, FIRST_INFERENCE)

MOST_SLOPE_POINTS = 1_000
"""Up to this many points of a launch all slopes are computed: half a million pairs."""

MIN_SLOPE_REPETITIONS = 5
"""With fewer repetitions a slope shows at most one step of an allocator."""

FEWEST_OF_GROWTH = 3
"""The same where several launches together tell what a repetition keeps: a duel often ends with so few in each."""


def launches_of(scenario: Scenario, launches: Sequence[Launch]) -> tuple[Launch, ...]:
    """The launches of a start-up scenario: those of its arm with the requested state of the page cache.

    Every warm start of the arm counts, whether or not it was made for this scenario.
    """
    wanted = "cold" if scenario.mode is Mode.LOAD_COLD else "warm"
    return tuple(each for each in launches if each.arm_id == scenario.arm.id and each.page_cache == wanted)


def why_no_launch(scenario: Scenario, launches: Sequence[Launch]) -> str:
    """Why no launch counts, with the page cache states that the launches recorded."""
    wanted = "cold" if scenario.mode is Mode.LOAD_COLD else "warm"
    reasons = sorted({
        each.page_cache for each in launches if each.arm_id == scenario.arm.id and each.page_cache.startswith("unknown")
    })  # fmt: skip
    return f"no launch with a {wanted} page cache" + (f" ({'; '.join(reasons)})" if reasons else "")


def start_up_parts(scenario: Scenario) -> tuple[str, ...]:
    """The parts of a start-up that an arm of this kind has."""
    return (*(SERVER_PARTS if scenario.arm.server else ENGINE_PARTS), FIRST_INFERENCE)


def launch_figures(launch: Launch) -> Mapping[str, Reading]:
    """A valid launch's `load_…` metrics in seconds and `rss_loaded` in bytes."""
    parts: dict[str, int] = defaultdict(int)
    for part in launch.parts:
        parts[part.name] += part.ns
    figures = {
        f"load_{name}": known(parts[name] / NS) if name in parts else unknown(f"the engine marks no part {name!r}")
        for name in LOAD_PARTS
    }
    if FIRST_INFERENCE in parts:
        not_counted = (INTERPRETER, FIRST_AUDIO)
        figures["load_time"] = known(sum(ns for name, ns in parts.items() if name not in not_counted) / NS)
    else:
        figures["load_time"] = unknown("the launch records no first inference")
    size = launch.rss_loaded
    figures["rss_loaded"] = known(size) if size is not None else unknown("the resident size was not read")
    return figures


def launch_readings(metric: str, launches: Sequence[Launch]) -> list[Placed]:
    """One reading for each valid launch."""
    return [Placed(launch=each.launch, reading=launch_figures(each)[metric]) for each in launches if each.outcome.valid]


def peaks(repetitions: Sequence[Repetition]) -> list[Placed]:
    """`rss_peak`: per launch, the highest mark over the valid repetitions before the measured ones.

    The conductor warms text classes up from short to long and resets the mark before each repetition, so each mark
    shows what its own text needs. During the blocks, ONNX Runtime's arena holds the memory of the longest text.
    """
    marks = {launch: [each.memory for each in warm_ups] for launch, warm_ups in equal_warm_ups(repetitions).items()}
    return [Placed(launch=launch, reading=_highest(marks[launch])) for launch in sorted(marks)]


def equal_warm_ups(repetitions: Iterable[Repetition]) -> Mapping[int, Sequence[Repetition]]:
    """Launch → the first valid repetitions before the measured ones, equally many of each launch.

    A duel warms its arms up until it has observed enough of them in its first launch, which may take more. The second
    repetition of a worker often takes more memory than the first.
    """
    found: dict[int, list[Repetition]] = defaultdict(list)
    for each in repetitions:
        if each.phase is not Phase.MEASURED and each.outcome.valid:
            found[each.launch].append(each)
    fewest = min(map(len, found.values()), default=0)
    return {launch: warm_ups[:fewest] for launch, warm_ups in found.items()}


def _highest(marks: Sequence[Memory]) -> Reading:
    peaks = [each.peak for each in marks if each.peak is not None]
    if peaks:
        return known(max(peaks))
    return unknown(marks[0].peak_reason or "the high-water mark was not read")


def warm_up_costs(repetitions: Sequence[Repetition]) -> list[Placed]:
    """`warm_up_cost`: per launch, over the texts with a valid repetition both during and after its warm-up."""
    first: dict[tuple[int, int], int] = {}
    excess: dict[int, list[int]] = defaultdict(list)
    for each in sorted(repetitions, key=lambda each: each.phase is Phase.MEASURED):
        place = each.launch, each.variant
        if each.outcome.valid and each.phase is Phase.WARMUP:
            first[place] = total_ns(each)
        elif each.outcome.valid and place in first:
            excess[each.launch].append(first.pop(place) - total_ns(each))
    return [Placed(launch=launch, reading=known(sum(excess[launch]) / NS)) for launch in sorted(excess)]


def slopes(repetitions: Sequence[Repetition], *, arm_repetitions: Sequence[Repetition]) -> list[Placed]:
    """`rss_slope`: per launch, bytes of growth for each repetition that the worker made.

    `repetitions` are the scenario's measured ones. `arm_repetitions` are all measured ones of the same workers, in
    order, so that leaks in other scenarios' repetitions are not attributed to this scenario alone.
    """
    points = _sizes(repetitions, arm_repetitions)
    return [Placed(launch=launch, reading=_slope(points[launch])) for launch in sorted(points)]


def growth(repetitions: Sequence[Repetition], *, arm_repetitions: Sequence[Repetition]) -> Mapping[int, float]:
    """Launch → bytes of growth for each repetition (Theil–Sen); only launches with `FEWEST_OF_GROWTH` repetitions."""
    points = _sizes(repetitions, arm_repetitions)
    by_launch = {launch: _slope(found, fewest=FEWEST_OF_GROWTH).value for launch, found in points.items()}
    return {launch: slope for launch, slope in by_launch.items() if slope is not None}


def _sizes(
    repetitions: Sequence[Repetition], arm_repetitions: Sequence[Repetition]
) -> Mapping[int, Sequence[tuple[int, int]]]:
    """Launch → the resident size after each of `repetitions`, with the number that the worker had made by then."""
    made: dict[int, int] = defaultdict(int)
    points: dict[int, list[tuple[int, int]]] = defaultdict(list)
    ours = {id(each) for each in repetitions}
    for each in arm_repetitions:
        made[each.launch] += 1
        if id(each) in ours and each.outcome.valid:
            points[each.launch] += [(made[each.launch], each.memory.rss_after)] if each.memory.rss_after else []
    return points


def _slope(points: Sequence[tuple[int, int]], *, fewest: int = MIN_SLOPE_REPETITIONS) -> Reading:
    """Theil–Sen, the median of all pairs' slopes (H. Theil 1950; P. K. Sen 1968): one jump does not decide it."""
    if not points:
        return unknown("the resident size was not read")
    if len(points) < fewest:
        return unknown(f"{len(points)} repetitions in a launch are too few for a slope, which takes {fewest}")
    # The number of slopes grows quadratically, so use only every k-th point of a long load.
    points = points[:: -(-len(points) // MOST_SLOPE_POINTS)]
    # SciPy has this function too, but importing SciPy takes longer than deriving all metrics.
    pairwise_slopes = (
        (later_size - size) / (later - ordinal) for (ordinal, size), (later, later_size) in combinations(points, 2)
    )
    return known(median(pairwise_slopes))
