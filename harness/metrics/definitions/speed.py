"""How long a synthesis takes, and what it costs."""

from harness.metrics.metric import Direction, Metric

SPEED = (
    Metric(
        name="ttfa",
        title="Time to first audio",
        unit="s",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="moment at which the onset sounds in playback without a pre-buffer − t0",
        meaning="How long a listener waits until sound is heard: the headline.",
        moved_by="The first chunk's phonemising and inference, the length of the text where nothing streams, "
        "silence at the beginning of the audio, and waiting for a free worker under load.",
        fooled_by="Noise before the speech that is loud enough to count as sound. A silent primer does not: the onset "
        "is looked for in the sound (10 ms RMS windows, 1 ms apart, above −40 dBFS for at least 50 ms). Speech that "
        "fades in from below that level may be heard a little earlier than stated.",
    ),
    Metric(
        name="ttfb",
        title="Time to first byte",
        unit="s",
        direction=Direction.LOWER,
        formula="first byte of the body − t0",
        meaning="When an endpoint begins to answer.",
        moved_by="Connecting, the server's queue, and whether it sends headers before it has audio.",
        fooled_by="A server that sends a WAV header before it has synthesised anything: never read it without ttfa.",
        beside="ttfa",
    ),
    Metric(
        name="ttfc",
        title="Time to first chunk",
        unit="s",
        direction=Direction.LOWER,
        formula="a_1 − t0, where chunk 1 is the first that holds decoded frames",
        meaning="When the first audio has arrived, audible or not.",
        moved_by="The size of the first chunk, phonemising, inference.",
        fooled_by="A primer of silence, and a client library or a proxy that cuts chunks anew. A header is not "
        "audio and does not count.",
        beside="ttfa",
    ),
    Metric(
        name="latency",
        title="Latency",
        unit="s",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="T",
        meaning="From the intended start until all audio is there.",
        moved_by="The length of the text, the model, threads, the provider, the machine's frequency and other load.",
        fooled_by="Truncated audio, which is why audio is checked before its time counts.",
    ),
    Metric(
        name="rtf",
        title="Real-time factor",
        unit="ratio",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="T / D",
        meaning="Seconds of work for one second of speech; below 1 it keeps up with a listener.",
        moved_by="All that moves latency, except the length of the text.",
        fooled_by="Audio that is longer than it need be: silence and slow speech lower it. D is counted in decoded "
        "frames, after the engine's own trimming.",
    ),
    Metric(
        name="rtf_model",
        title="Real-time factor of the model",
        unit="ratio",
        direction=Direction.LOWER,
        formula="Σ session.run / D",
        meaning="The part of the real-time factor that ONNX Runtime's sessions take.",
        moved_by="The graph, quantisation, the provider, threads.",
        fooled_by="Sessions that run side by side: their times add up to more than passed.",
    ),
    Metric(
        name="cpu_per_audio",
        title="CPU time per second of speech",
        unit="s/s",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="CPU time of the engine's process, all threads / D",
        meaning="What speech costs in CPU, however many threads share the work.",
        moved_by="The graph, quantisation, the number of threads.",
        fooled_by="Threads that wait by spinning: it counts as work. A provider that computes elsewhere looks free.",
    ),
    Metric(
        name="delivery_speed",
        title="Delivery speed",
        unit="ratio",
        direction=Direction.HIGHER,
        formula="D / T",
        meaning="Seconds of speech per second, the inverse of rtf: what is elsewhere called streaming efficiency.",
        moved_by="All that moves rtf.",
        fooled_by="All that fools rtf. Kept for comparison with figures from elsewhere.",
    ),
)

_STAGE_FOOLED = (
    "Stages that overlap, as parallel sessions do, have no shares: they are then unknown. The shares are of time "
    "passed, not of CPU time."
)


def _share(*, stage: str, title: str, formula: str, meaning: str, moved_by: str) -> Metric:
    # No share is good or bad by itself, and none is gated; less of a stage is less work.
    return Metric(
        name=f"stage_share_{stage}",
        title=title,
        unit="ratio",
        direction=Direction.LOWER,
        share=True,
        formula=formula,
        meaning=meaning,
        moved_by=moved_by,
        fooled_by=_STAGE_FOOLED,
    )


STAGES = (
    _share(
        stage="phonemise",
        title="Share of phonemising",
        formula="Σ phonemise marks / T",
        meaning="How much of the latency turns text into phonemes.",
        moved_by="The text, espeak-ng, and its first call in a process.",
    ),
    _share(
        stage="inference",
        title="Share of inference",
        formula="Σ session.run / T",
        meaning="How much of the latency is spent in ONNX Runtime.",
        moved_by="The graph, quantisation, the provider, threads.",
    ),
    _share(
        stage="postprocess",
        title="Share of post-processing",
        formula="Σ postprocess marks / T; where an engine marks none: from the end of each session.run to the next "
        "mark, and from the last one to the last chunk",
        meaning="How much of the latency trims and joins audio.",
        moved_by="Trimming, joining, pauses between pieces.",
    ),
    _share(
        stage="rest",
        title="Share of the rest",
        formula="1 − the other three shares",
        meaning="How much of the latency is in none of the stages.",
        moved_by="Splitting the text, Python, waiting under load, and the way from the engine to the listener.",
    ),
)
