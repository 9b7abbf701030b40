"""What it takes to start, and to stay: time to load, memory, size."""

import math

from harness.metrics.metric import Direction, Metric, Per

MEMORY_SD = 0.005
"""How much the memory of launches is presumed to differ: two shared cores showed 0.0 to 0.3 % between runs."""


def _load_part(*, part: str, title: str, meaning: str, moved_by: str) -> Metric:
    return Metric(
        name=f"load_{part}",
        title=title,
        unit="s",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        launch_sd=0.0,
        formula=f"the part {part!r} of load_time",
        meaning=meaning,
        moved_by=moved_by,
        fooled_by="The page cache, unless it is brought into a known state: warm and cold are two scenarios.",
    )


LOADING = (
    Metric(
        name="load_time",
        title="Time to load",
        unit="s",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        tolerance=0.10,
        launch_sd=0.0,
        formula="import + session + voices + phonemiser + first inference (the interpreter's own start is not in it)",
        meaning="From a running interpreter to an engine that has spoken once.",
        moved_by="The size of the model, graph optimisation, the provider, the disk where the page cache is cold.",
        fooled_by="The page cache: a second start reads no disk. Warm and cold are two scenarios, and a start whose "
        "cache was in an unknown state counts in neither.",
    ),
    _load_part(
        part="import",
        title="Load: import",
        meaning="Importing the engine's packages.",
        moved_by="Package versions, compiled bytecode, the disk.",
    ),
    _load_part(
        part="session",
        title="Load: session",
        meaning="Creating ONNX Runtime's session.",
        moved_by="The size of the model, the level of graph optimisation, the provider.",
    ),
    _load_part(
        part="voices",
        title="Load: voices",
        meaning="Reading the voices.",
        moved_by="The number of voices, the disk.",
    ),
    _load_part(
        part="phonemiser",
        title="Load: phonemiser",
        meaning="Starting espeak-ng.",
        moved_by="Its data files, the disk.",
    ),
    _load_part(
        part="first_inference",
        title="Load: first inference",
        meaning="The first synthesis, which allocates memory and touches every weight for the first time.",
        moved_by="The size of the model, memory-mapped weights that are read only now, the provider's compilation.",
    ),
)

FIRST = (
    Metric(
        name="warm_up_cost",
        title="Cost of warming up",
        unit="s",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        least=-math.inf,
        launch_sd=0.0,
        formula="per launch: Σ (T of a text among the first 20 requests of the process − T of the same text when it is "
        "asked for again, after all of them)",
        meaning="What the first listeners of a process that was just started wait longer than later ones.",
        moved_by="Memory that is allocated and weights that are touched for the first time, and whether the engine "
        "warms up before it is ready: then its start takes longer instead.",
        fooled_by="A cache, which has the second answers: it is measured without one. Few launches: each gives one "
        "figure, a sum of 20 small differences, which noise may bring below 0.",
    ),
)

MEMORY = (
    Metric(
        name="rss_loaded",
        title="Memory once loaded",
        unit="B",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        tolerance=0.05,
        launch_sd=MEMORY_SD,
        formula="resident size of the engine's process once it is loaded, before its first inference",
        meaning="What an idle engine holds.",
        moved_by="The size of the model, copies made while optimising the graph, imported packages.",
        fooled_by="Memory-mapped weights that nobody has touched yet are not resident.",
    ),
    Metric(
        name="rss_peak",
        title="Peak memory",
        unit="B",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        tolerance=0.05,
        launch_sd=MEMORY_SD,
        formula="per launch: the highest high-water mark over the scenario's warm-up repetitions, reset before each",
        meaning="What speaking a text of this length takes at most.",
        moved_by="The length of the text, ONNX Runtime's arena, quantisation.",
        fooled_by="An arena that keeps what a longer text needed. So texts are warmed up from short to long, and only "
        "those repetitions count: by the time of the measured ones every text shares the longest one's arena.",
    ),
    Metric(
        name="rss_slope",
        title="Growth of memory",
        unit="B/repetition",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        least=-math.inf,
        launch_sd=0.0,
        formula="per launch: Theil–Sen slope of the resident size after each measured repetition over the number of "
        "repetitions that the worker had made by then",
        meaning="What leaks with every repetition.",
        moved_by="Leaks, caches without a bound, fragmentation.",
        fooled_by="Short runs: memory grows in steps, and a few repetitions see none or one of them.",
    ),
    Metric(
        name="model_size",
        title="Size of the model",
        unit="B",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        formula="bytes of the model file and its external data",
        meaning="What is to be stored and downloaded.",
        moved_by="Quantisation, folded constants.",
        fooled_by="Nothing; it says nothing of memory, since weights may be widened when they are loaded.",
    ),
)
