"""Compares the replica with the architecture that it represents: size, operators, shares of time, latency ratios.

The reference values (`harness/models/replica/reference.json`) come from another machine. Processors differ most in the
speed of matrix products, which changes the shares of all other work. So each share is shown twice: as measured, and
levelled. For the latter, all matrix work (convolutions, products, LSTMs) is scaled by one factor so that its sum is
that of the reference. Only the levelled share distinguishes a wrong graph from another processor.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from harness.models.replica.assemble import build_model, build_voices
from harness.models.replica.recipe import Recipe

MATRIX_WORK = frozenset({"Conv", "ConvTranspose", "FusedMatMul", "Gemm", "LSTM", "MatMul"})
SHARE_TOLERANCE = 3.0
"""Percentage points."""
SHOWN_SHARE = 0.1
"""An operator with at least this percentage of the reference's time must be present."""
RATIO_TOLERANCE = 0.10
ELEMENTS_TOLERANCE = 0.005
BYTES_TOLERANCE = 0.01

VOICE = "am_michael"
DRAWS = {20: 27, 100: 35, 400: 4}
"""Length → seed of the token numbers. With these seeds the audio is as long as the reference's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One setting of the public architecture: seconds, and percent of the time by operator type."""

    threads: int
    tokens: int
    latency_s: float
    audio_s: float
    executed_nodes: int
    share_percent: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The profile of one synthesis: microseconds and executed nodes by operator type."""

    microseconds: dict[str, float]
    nodes: int

    def shares(self) -> dict[str, float]:
        """Percent by operator type."""
        total = sum(self.microseconds.values())
        return {kind: 100 * time / total for kind, time in self.microseconds.items()}

    def shares_at(self, matrix_percent: float) -> dict[str, float]:
        """Percent by operator type, scaled so that matrix work is `matrix_percent` of the whole."""
        shares = self.shares()
        matrix = sum(share for kind, share in shares.items() if kind in MATRIX_WORK)
        return {
            kind: share * (matrix_percent / matrix if kind in MATRIX_WORK else (100 - matrix_percent) / (100 - matrix))
            for kind, share in shares.items()
        }


def inputs(voices: Any, tokens: int) -> dict[str, Any]:  # noqa: ANN401 - NumPy's archive has no useful type
    """The inputs of a synthesis of `tokens` tokens, including the padding at both ends."""
    import numpy as np

    numbers = np.random.default_rng(DRAWS[tokens]).integers(1, 178, tokens)[None]
    numbers[0, 0] = numbers[0, -1] = 0
    return {"input_ids": numbers, "style": voices[VOICE][tokens - 3], "speed": np.ones(1, np.float32)}


def session(model: Path, threads: int, profile: Path | None = None) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    """A session on the CPU with ONNX Runtime's defaults, except for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def profiled(model: Path, threads: int, feed: dict[str, Any], runs: int) -> Profile:
    """ONNX Runtime's profile, summed over `runs` runs after one warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        running = session(model, threads, Path(folder) / "profile")
        for _ in range(runs + 1):
            running.run(None, feed)
        events = json.loads(Path(running.end_profiling()).read_text(encoding="utf-8"))
    kernels = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    nodes = len(kernels) // (runs + 1)
    spent: Counter[str] = Counter()
    for event in kernels[nodes:]:
        spent[event["args"]["op_name"]] += event["dur"]
    return Profile(microseconds=dict(spent), nodes=nodes)


def latencies(model: Path, threads: int, feeds: dict[int, dict[str, Any]], rounds: int) -> dict[int, list[float]]:
    """Length → seconds of each synthesis. The lengths alternate, after one warm-up round.

    With one thread, the times are CPU times of that thread, which other programs disturb less.
    """
    clock = time.thread_time if threads == 1 else time.perf_counter
    running = session(model, threads)
    taken: dict[int, list[float]] = {tokens: [] for tokens in feeds}
    for _ in range(rounds + 1):
        for tokens, feed in feeds.items():
            start = clock()
            running.run(None, feed)
            taken[tokens].append(clock() - start)
    return {tokens: seconds[1:] for tokens, seconds in taken.items()}


def verdict(*, met: bool) -> str:
    """The word for a result in the tables."""
    return "pass" if met else "FAIL"


def size_lines(model: Path, reference: dict[str, Any]) -> Iterator[str]:
    """Lines that compare initialiser elements and file size with the reference."""
    import onnx

    graph = onnx.load(str(model)).graph
    elements = sum(math.prod(weight.dims) for weight in graph.initializer)
    yield f"{'':<24}{'replica':>14}{'reference':>14}{'difference':>12}"
    for name, here, there, allowed in (
        ("initialiser elements", elements, reference["initialiser_elements"], ELEMENTS_TOLERANCE),
        ("file, bytes", model.stat().st_size, reference["file_bytes"], BYTES_TOLERANCE),
    ):
        off = here / there - 1
        yield f"{name:<24}{here:>14,}{there:>14,}{off:>+12.3%}  {verdict(met=abs(off) <= allowed)}"


def share_lines(profile: Profile, reference: Reference) -> Iterator[str]:
    """A line for each operator type with a relevant share in the reference, then those with one only here."""
    theirs = reference.share_percent
    matrix = sum(share for kind, share in theirs.items() if kind in MATRIX_WORK)
    measured, level = profile.shares(), profile.shares_at(matrix)
    yield f"\n{reference.tokens} tokens, {reference.threads} threads: percent of the time by operator type"
    yield f"executed nodes {profile.nodes} (reference {reference.executed_nodes})"
    yield f"{'':<24}{'reference':>10}{'measured':>10}{'':>6}{'levelled':>10}"
    extra = [kind for kind, share in sorted(measured.items(), key=lambda item: -item[1]) if share >= SHOWN_SHARE]
    for kind in dict.fromkeys([*(k for k, share in theirs.items() if share >= SHOWN_SHARE), *extra]):
        share = theirs.get(kind, 0.0)
        present = kind in measured
        checks = [present and abs(values.get(kind, 0.0) - share) <= SHARE_TOLERANCE for values in (measured, level)]
        figures = [
            f"{values.get(kind, 0.0):>10.2f}  {verdict(met=ok)}"
            for values, ok in zip((measured, level), checks, strict=True)
        ]
        yield f"{kind:<24}{share:>10.2f}" + "".join(figures)


def ratio_lines(taken: dict[int, list[float]], seconds: dict[int, float], there: Sequence[Reference]) -> Iterator[str]:
    """Lines with the median latencies, and their ratios compared with those of the reference."""
    known = {reference.tokens: reference for reference in there}
    threads, rounds = there[0].threads, len(next(iter(taken.values())))
    kind = "CPU time" if threads == 1 else "latency"
    yield f"\n{threads} threads: {kind}, median (min to max) of {rounds}"
    for tokens, values in taken.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        reference = known[tokens]
        yield (
            f"{tokens:>4} tokens: {median(values):.3f} s ({spread}) for {seconds[tokens]:.2f} s of audio; "
            f"reference {reference.latency_s:.3f} s for {reference.audio_s:.2f} s"
        )
    lengths = sorted(taken)
    for short, long in ((a, b) for i, a in enumerate(lengths) for b in lengths[i + 1 :]):
        # Ratios per round, so that a change of the machine's speed affects both lengths alike.
        here = median(b / a for a, b in zip(taken[short], taken[long], strict=True))
        theirs = known[long].latency_s / known[short].latency_s
        off = here / theirs - 1
        met = verdict(met=abs(off) <= RATIO_TOLERANCE)
        yield f"{long} : {short} tokens  {here:6.2f}  reference {theirs:6.2f}  {off:+7.1%}  {met}"


def compare(model: Path, voices: Path, *, rounds: int) -> Iterator[str]:
    """All tables, each as soon as it is measured."""
    import numpy as np
    import onnxruntime

    reference = json.loads((files("harness.models.replica") / "reference.json").read_text(encoding="utf-8"))
    settings = [Reference(**entry) for entry in reference["runs"]]
    yield f"reference: {reference['source']}; here: ONNX Runtime {onnxruntime.__version__}\n"
    yield from size_lines(model, reference)
    archive = np.load(voices)
    feeds = {tokens: inputs(archive, tokens) for tokens in DRAWS}
    for threads in (2, 1):
        there = [setting for setting in settings if setting.threads == threads]
        running = session(model, threads)
        seconds = {tokens: running.run(None, feed)[0].size / 24_000 for tokens, feed in feeds.items()}
        del running
        yield from ratio_lines(latencies(model, threads, feeds, rounds), seconds, there)
        for setting in there:
            yield from share_lines(profiled(model, threads, feeds[setting.tokens], min(rounds, 2)), setting)


def main() -> None:
    """Build the full replica, measure it and print how it compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of each length")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, voices = Path(folder) / "replica.onnx", Path(folder) / "voices.npz"
        start = time.perf_counter()
        build_model(Recipe(), model)
        build_voices(Recipe(), voices)
        print(f"built in {time.perf_counter() - start:.1f} s")
        for line in compare(model, voices, rounds=given.rounds):
            print(line)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
