"""What each piece of the engine's machinery gains, by rounds of fresh sessions in random order.

    python -m harness.perf.machinery [--model replica] [--rounds 3] [--seconds 30] [--requests 1000] [--only pool,cache]

pool: throughput of 1, 2, 4 and 8 sessions that share all threads, with eight listeners. cache: a hit against a miss,
and a stampede. warm_up: what the first 20 requests cost beyond the later ones, with and without. soak: memory over many
requests; alone (`--only soak`), since the parts share a process. Ratios are of one round; their interval is Student's t
over the rounds' logarithms.
"""

import argparse
import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import combinations, count
from statistics import fmean, median, stdev

from harness.clock import SystemClock
from harness.engines.protocol import EngineOrder, SpeechRequest
from harness.engines.sentences import open_speaker, read_settings
from harness.engines.speaker import SAMPLE_RATE, NoStages, Speaker
from harness.models.files import ModelFiles
from harness.plan.corpus import Corpus

COUNTS = (1, 2, 4, 8)
LISTENERS = 8
STAMPEDE = 32
FIRST = 20
LATER = 20
LEVEL = 0.95
PARTS = ("pool", "cache", "warm_up", "soak")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all parts share."""

    files: ModelFiles
    rounds: int
    seconds: float
    requests: int

    @contextmanager
    def speaker(self, *, warm: bool = True, **options: str) -> Iterator[Speaker]:
        """A fresh one."""
        clock = SystemClock()
        order = EngineOrder(
            engine="kokoro-sentences",
            model_path=str(self.files.model_path),
            voices_path=str(self.files.voices_path),
            voice="af_heart",
            session_options=options,
        )
        settings, order = read_settings(order)
        opened = open_speaker(
            order, settings, clock=clock, stages=NoStages(clock), model_digest=self.files.variant.sha256
        )
        try:
            if warm:
                opened.speaker.warm_up("af_heart")
            yield opened.speaker
        finally:
            opened.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="replica")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    from harness.models.catalogue import Catalogue

    files = Catalogue().resolve(given.model, report=print)
    bench = Bench(files=files, rounds=given.rounds, seconds=given.seconds, requests=given.requests)
    for part in given.only.split(","):
        {"pool": pool, "cache": cache, "warm_up": warm_up, "soak": soak}[part](bench)


def pool(bench: Bench) -> None:
    """Throughput by the number of sessions, and how the pieces spread over them."""
    found: dict[int, list[float]] = {sessions: [] for sessions in COUNTS}
    for number in range(bench.rounds):
        for sessions in random.Random(number).sample(COUNTS, len(COUNTS)):  # noqa: S311 - an order, not a secret
            with bench.speaker(sessions=str(sessions)) as speaker:
                found[sessions].append(_throughput(speaker, bench.seconds))
                spread = [state.jobs for state in speaker.pool.states()]
            print(f"pool      round {number + 1}: {sessions} sessions {found[sessions][-1]:.2f} s/s, pieces {spread}")
    for sessions in COUNTS[1:]:
        ratios = [many / one for many, one in zip(found[sessions], found[1], strict=True)]
        print(f"pool      throughput of {sessions} sessions against 1: {_told(ratios)}")


def cache(bench: Bench) -> None:
    """A hit against a miss of the same text, and how often a stampede is computed."""
    text, stampede = _texts()[:2]
    ratios = []
    for _ in range(bench.rounds):
        with bench.speaker(cache="64") as speaker:
            miss, hit = _latency(speaker, text), median(_latency(speaker, text) for _ in range(20))
            ratios.append(hit / miss)
            before = speaker.cache_state
            with ThreadPoolExecutor(STAMPEDE) as threads:
                list(threads.map(lambda _, speaker=speaker: _latency(speaker, stampede), range(STAMPEDE)))
            after = speaker.cache_state
        pieces, computed = (after.hits + after.misses + after.joined), after.misses - before.misses
        asked = pieces - (before.hits + before.misses + before.joined)
        print(f"cache     a stampede of {STAMPEDE}: {asked} pieces asked for, {computed} computed")
    print(f"cache     latency of a hit against a miss: {_told(ratios)}")


def warm_up(bench: Bench) -> None:
    """Seconds that the first requests cost beyond as many of the later ones."""
    text = _texts()[0]
    for warm in (False, True):
        excess = []
        for _ in range(bench.rounds):
            with bench.speaker(warm=warm) as speaker:
                latencies = [_latency(speaker, text) for _ in range(FIRST + LATER)]
            excess.append(sum(latencies[:FIRST]) - FIRST * median(latencies[FIRST:]))
        said = ", ".join(f"{seconds:+.3f}" for seconds in excess)
        print(f"warm_up   {'with' if warm else 'without'}: the first {FIRST} cost {said} s beyond the later ones")


def soak(bench: Bench) -> None:
    """Resident memory over many requests, with a cache that fills and overflows."""
    import psutil

    process = psutil.Process()
    texts = _texts()
    readings: list[tuple[int, int]] = []
    with bench.speaker(cache="8") as speaker:
        for number in range(bench.requests):
            _latency(speaker, f"{number}. {texts[number % len(texts)]}")
            if number >= bench.requests // 5 and number % max(1, bench.requests // 100) == 0:
                readings.append((number, process.memory_info().rss))
        state = speaker.cache_state
    # Theil and Sen: the median of all slopes between two readings.
    slope = median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(readings, 2))
    print(f"soak      {bench.requests} requests: {slope:+.0f} B a request, {readings[-1][1] / 1e6:.0f} MB at the end")
    print(f"soak      cache {state.size:,} of {state.limit:,} B, {state.evicted} pieces driven out")


def _throughput(speaker: Speaker, seconds: float) -> float:
    """Seconds of speech a second, while eight listeners ask for one text after the other."""
    texts, numbers, end = _texts(), count(), time.monotonic() + seconds
    lock = threading.Lock()
    frames = 0

    def listen() -> None:
        nonlocal frames
        while time.monotonic() < end:
            request = SpeechRequest(text=texts[next(numbers) % len(texts)], voice="af_heart")
            with closing(speaker.speak(request)) as answer:
                for part in answer:
                    spoken = len(part.audio.result())
                    with lock:
                        # What comes after the window's end, while the listeners are fewer, is outside it.
                        frames += spoken if time.monotonic() < end else 0

    with ThreadPoolExecutor(LISTENERS) as threads:
        list(threads.map(lambda _: listen(), range(LISTENERS)))
    return frames / SAMPLE_RATE / seconds


def _latency(speaker: Speaker, text: str) -> float:
    start = time.perf_counter()
    with closing(speaker.speak(SpeechRequest(text=text, voice="af_heart"))) as answer:
        for part in answer:
            part.audio.result()
    return time.perf_counter() - start


def _texts() -> list[str]:
    corpus = Corpus()
    return [utterance.text for name in ("chars-60", "chars-200") for utterance in corpus.variants(name)]


def _told(ratios: Sequence[float]) -> str:
    """The geometric mean, with Student's interval where there are rounds enough."""
    from scipy.stats import t

    logs = [math.log(ratio) for ratio in ratios]
    if len(logs) < 2:
        return f"{math.exp(logs[0]):.3f} (one round: no interval)"
    half = float(t.ppf(0.5 + LEVEL / 2, len(logs) - 1)) * stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)
    return f"{math.exp(fmean(logs)):.3f} [{low:.3f}, {high:.3f}], {len(logs)} rounds"


if __name__ == "__main__":
    main()
