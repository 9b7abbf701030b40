"""Whether answers come, and how many at a time."""

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
        meaning="How often a request ends in audio that may be listened to.",
        moved_by="Errors, time-outs, crashes, and audio that is silent, clipped, truncated or too long.",
        fooled_by="Few attempts: 10 of 10 still leave room for a rate of 72 %. An answer with status 200 and no "
        "plausible audio is a failure.",
    ),
    Metric(
        name="throughput",
        title="Throughput",
        unit="s/s",
        direction=Direction.HIGHER,
        per=Per.WINDOW,
        formula="Σ D of the valid answers that were complete within the window / length of the window",
        meaning="Seconds of speech that are delivered per second, over all listeners.",
        moved_by="Concurrency, batching, threads, memory bandwidth.",
        fooled_by="Warm-up and cool-down, which are outside the window. It may rise while every listener waits longer: "
        "read it beside goodput.",
        beside="goodput",
    ),
    Metric(
        name="goodput",
        title="Goodput",
        unit="1/s",
        direction=Direction.HIGHER,
        per=Per.WINDOW,
        formula="answers within the window that meet every target of the scenario / length of the window",
        meaning="How many listeners per second are served well.",
        moved_by="What moves throughput, and the targets.",
        fooled_by="Targets that ask for nothing. An answer whose figure is unknown does not meet its target.",
    ),
    Metric(
        name="longest_wait",
        title="Longest wait",
        unit="ratio",
        direction=Direction.LOWER,
        per=Per.WINDOW,
        least=1.0,
        launch_sd=0.0,
        formula="largest ttfc / median ttfc, over the listeners who ask in the same moment",
        meaning="How much longer the last of many listeners waits for sound than the one in the middle.",
        moved_by="The order in which waiting work is done, and how much of one answer comes before others' turn.",
        fooled_by="Answers from a cache, which come at once and pull the median down. Listeners who are served "
        "strictly in turn come to 2 at most; where an engine keeps accounts, one beyond 4 is starved and not valid.",
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
        formula="hits / (hits + misses + joined), in pieces of texts, as the engine counted them in a block",
        meaning="How much of what was asked for was there already.",
        moved_by="Texts that come again, the cache's bound, its time to live.",
        fooled_by="Texts that only a benchmark repeats. Whoever joins a computation that is under way has no hit, and "
        "waits as long as a miss does.",
        beside="latency",
    ),
    Metric(
        name="client_lag",
        title="Lag of the client",
        unit="s",
        direction=Direction.LOWER,
        per=Per.BEAT,
        formula="of a request: moment of sending − moment at which it could have been sent; of the timer: moment of "
        "waking − due time",
        meaning="How far the client that measures a load was behind its own schedule: every figure of the load may be "
        "late by so much.",
        moved_by="The number of streams on one client, other work on the client's machine, a server on the same cores.",
        fooled_by="A median: look at p99. Beyond 20 ms there the client and not the server may be what is slow: more "
        "clients are needed (docs/load.md).",
        beside="latency",
    ),
)
