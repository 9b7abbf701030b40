"""The cost of starting and running an engine: time to load, memory, size."""

import math
from dataclasses import replace
from functools import partial

from harness.metrics.metric import EXACT, Direction, Metric, Per, RunSpread

MEMORY_SD = 0.005
"""The presumed relative standard deviation of memory between launches. Two shared cores showed 0.0 to 0.3 %."""

MEMORY_SPREAD = RunSpread(
    sd=0.005,
    freedom=16.0,
    source="one machine, one boot, 12 runs of two models while other work used the machine: 0.01 to 0.25 %, with an "
    "upper limit of 0.22 % over all scenarios (`nox -s perf -- run_spread`); doubled, because the source is thin",
)
"""The spread of memory between runs."""

START_SD = 0.10
"""The presumed relative standard deviation of start-up times between launches. Two shared cores showed 9 to 11 %."""

START_SPREAD = RunSpread(
    sd=0.08,
    freedom=4.0,
    source="one machine, one boot: 6 % for the real model while other work used the machine; the page cache and the "
    "disk add to what times differ by",
)
"""The spread of start-up times between runs."""

MEMORY_TOLERANCE = 0.04
"""Below 5 %, so that a change of 5 % is found by more than half of the runs (see `harness.analysis.stats.power`)."""


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
        fooled_by="A page cache in an unknown state. Warm and cold starts are two scenarios.",
    )


LOADING = (
    Metric(
        name="load_time",
        title="Time to load",
        unit="s",
        direction=Direction.LOWER,
        per=Per.LAUNCH,
        tolerance=0.10,
        launch_sd=START_SD,
        run_spread=START_SPREAD,
        formula="import + session + voices + phonemiser + first inference (excluding the interpreter's own start); "
        "of a server that the harness starts: listening + ready + connecting + first inference",
        meaning="The time from a running interpreter to the end of the engine's first synthesis.",
        moved_by="The size of the model, graph optimisation, the provider, and the disk if the page cache is cold.",
        fooled_by="The page cache: a second start reads nothing from disk. Warm and cold starts are two scenarios. A "
        "start with an unknown cache state counts in neither.",
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
        meaning="The first synthesis, which allocates memory and reads every weight for the first time.",
        moved_by="The size of the model, memory-mapped weights that are read on first use, the provider's compilation.",
    ),
    _load_part(
        part="listening",
        title="Start: listening",
        meaning="From starting a server's command until it accepts connections, in steps of 5 ms.",
        moved_by="Starting the interpreter, imports, and whatever the server does before it listens.",
    ),
    _load_part(
        part="ready",
        title="Start: ready",
        meaning="From accepting connections until the server says that it is ready, in steps of 5 ms.",
        moved_by="Loading the model and warming up, for a server that listens before.",
    ),
    replace(
        _load_part(
            part="first_audio",
            title="Start: first audio",
            meaning="From sending the first request to a ready server until its first audio has arrived.",
            moved_by="Loading on first use, the size of the first segment, streaming.",
        ),
        formula="the beginning of the part 'first_inference', until audio has arrived; not counted twice in load_time",
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
        meaning="The extra time that the first requests of a new process take, compared with later ones.",
        moved_by="Memory that is allocated and weights that are read for the first time. An engine that warms up "
        "before it is ready has a longer start instead.",
        fooled_by="A cache would hold the second answers, so the engine is measured without one. Few launches: each "
        "gives one value, a sum of 20 small differences, which noise may make negative.",
    ),
)

_memory = partial(
    Metric,
    unit="B",
    direction=Direction.LOWER,
    per=Per.LAUNCH,
    tolerance=MEMORY_TOLERANCE,
    launch_sd=MEMORY_SD,
    run_spread=MEMORY_SPREAD,
)

MEMORY = (
    _memory(
        name="rss_loaded",
        title="Memory once loaded",
        formula="resident size of the engine's process after loading, before its first inference",
        meaning="The memory of an idle engine.",
        moved_by="The size of the model, copies made while optimising the graph, imported packages.",
        fooled_by="Memory-mapped weights that have not been read yet are not resident.",
    ),
    _memory(
        name="rss_peak",
        title="Peak memory",
        formula="per launch: the highest high-water mark over the scenario's warm-up repetitions, reset before each; "
        "equally many of each launch",
        meaning="The most memory that synthesising a text of this length takes.",
        moved_by="The length of the text, ONNX Runtime's arena, quantisation.",
        fooled_by="An arena that keeps the memory of a longer text. So texts are warmed up from short to long, and "
        "only those repetitions count: in the measured ones every text shares the arena of the longest.",
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
        meaning="The memory that every repetition leaks.",
        moved_by="Leaks, unbounded caches, fragmentation.",
        fooled_by="Short runs: memory grows in steps, and a few repetitions contain at most one step.",
    ),
    Metric(
        name="model_size",
        title="Size of the model",
        unit="B",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        run_spread=EXACT,
        formula="bytes of the model file and its external data",
        meaning="The bytes to store and download.",
        moved_by="Quantisation, folded constants.",
        fooled_by="Nothing. It does not predict memory, because weights may be widened on loading.",
    ),
)
