"""Metrics of a service: success, throughput and waiting under load."""

from harness.metrics.metric import Direction, Metric, Per

SERVICE = (
    Metric(
        name="success_rate",
        title="Success rate",
        unit="ratio",
        direction=Direction.HIGHER,
        per=Per.SCENARIO,
        share=True,
        formula="valid repetitions / attempted, with a Wilson interval",
        meaning="The fraction of requests that return valid audio.",
        moved_by="Errors, time-outs, crashes, and audio that is silent, clipped, truncated or too long.",
        fooled_by="Few attempts: 10 of 10 are compatible with a rate of 72 %. An answer with status 200 and no "
        "plausible audio is a failure.",
    ),
    Metric(
        name="throughput",
        title="Throughput",
        unit="s/s",
        direction=Direction.HIGHER,
        per=Per.WINDOW,
        formula="Σ D of the valid answers that were complete within the window / length of the window",
        meaning="Seconds of speech delivered per second, over all users.",
        moved_by="Concurrency, batching, threads, memory bandwidth.",
        fooled_by="Warm-up and cool-down, which lie outside the window. It may rise while every user waits longer: "
        "read it together with goodput.",
        beside="goodput",
    ),
    Metric(
        name="goodput",
        title="Goodput",
        unit="1/s",
        direction=Direction.HIGHER,
        per=Per.WINDOW,
        formula="answers within the window that meet every target of the scenario / length of the window",
        meaning="The number of requests per second that are answered well.",
        moved_by="Everything that moves throughput, and the targets.",
        fooled_by="Targets that are too lenient. An answer with an unknown value does not meet its target.",
    ),
    Metric(
        name="longest_wait",
        title="Longest wait",
        unit="ratio",
        direction=Direction.LOWER,
        per=Per.WINDOW,
        least=1.0,
        launch_sd=0.0,
        formula="largest ttfc / median ttfc, over requests that start at the same moment",
        meaning="How much longer the slowest of simultaneous requests waits for audio than the median request.",
        moved_by="The order in which the engine serves waiting requests, and how much of one answer it produces before "
        "it serves the next.",
        fooled_by="Answers from a cache, which come at once and lower the median. Requests served strictly in turn "
        "give at most 2. If the engine keeps counters, a request beyond 4 is starved and not valid.",
        beside="ttfc",
    ),
    Metric(
        name="cache_hit_rate",
        title="Hit rate of the cache",
        unit="ratio",
        direction=Direction.HIGHER,
        per=Per.WINDOW,
        share=True,
        launch_sd=0.0,
        formula="hits / (hits + misses + joined), in segments of texts, as the engine counted them in a block",
        meaning="The fraction of requested segments that were in the cache.",
        moved_by="Repeated texts, the cache's size limit, its time to live.",
        fooled_by="Texts that only a benchmark repeats. A request that joins a running computation is not a hit, and "
        "waits as long as a miss.",
        beside="latency",
    ),
    Metric(
        name="client_lag",
        title="Lag of the client",
        unit="s",
        direction=Direction.LOWER,
        per=Per.BEAT,
        formula="for a request: time of sending − earliest possible time of sending; for the timer: time of waking − "
        "due time",
        meaning="How far the measuring client was behind its own schedule: every time of the load may be late by this "
        "much.",
        moved_by="The number of streams on one client, other work on the client's machine, a server on the same cores.",
        fooled_by="A median: look at p99. Beyond 20 ms at p99 the client and not the server may be the bottleneck: use "
        "more clients (docs/load.md).",
        beside="latency",
    ),
)
