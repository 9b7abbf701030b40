"""Metrics of speed: the duration of a synthesis, its CPU cost and its stages."""

from functools import partial

from harness.metrics.metric import Direction, Metric

SPEED = (
    Metric(
        name="ttfa",
        title="Time to first audio",
        unit="s",
        direction=Direction.LOWER,
        tolerance=0.05,
        definition=2,
        formula="time at which the onset is played without a pre-buffer − t0",
        meaning="How long a listener waits for audible speech: the headline metric.",
        moved_by="The first chunk's phonemising and inference, the length of the text if nothing streams, silence at "
        "the beginning of the audio, and waiting for a free worker under load.",
        fooled_by="Noise before the speech that is loud enough to count as sound. A silent primer does not fool it: "
        "the onset is detected in the audio (a 10 ms window with an RMS above −40 dBFS, after which at least 50 ms "
        "stay above −50 dBFS). Speech that fades in, such as an f, is audible up to 10 ms earlier than stated.",
    ),
    Metric(
        name="ttfb",
        title="Time to first byte",
        unit="s",
        direction=Direction.LOWER,
        formula="first byte of the body − t0",
        meaning="When an endpoint begins to answer.",
        moved_by="Connecting, the server's queue, and whether it sends headers before it has audio.",
        fooled_by="A server that sends a WAV header before it has synthesised anything: always read it with ttfa.",
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
        fooled_by="A primer of silence, and a client library or proxy that splits chunks differently. A header is not "
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
        meaning="The time from the intended start until all audio has arrived.",
        moved_by="The length of the text, the model, threads, the provider, the machine's frequency and other load.",
        fooled_by="Truncated audio. So audio is validated before its time counts.",
    ),
    Metric(
        name="rtf",
        title="Real-time factor",
        unit="ratio",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="T / D",
        meaning="Seconds of work per second of speech; below 1, synthesis is faster than playback.",
        moved_by="Everything that moves latency, except the length of the text.",
        fooled_by="Audio that is longer than necessary: silence and slow speech lower it. D is counted in decoded "
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
        fooled_by="Parallel sessions: the sum of their times exceeds the elapsed time.",
    ),
    Metric(
        name="cpu_per_audio",
        title="CPU time per second of speech",
        unit="s/s",
        direction=Direction.LOWER,
        tolerance=0.05,
        formula="CPU time of the engine's process, all threads / D",
        meaning="The CPU cost of speech, independent of the number of threads that share the work.",
        moved_by="The graph, quantisation, the number of threads.",
        fooled_by="Threads that spin while waiting: that counts as work. A provider on another device looks free.",
    ),
    Metric(
        name="delivery_speed",
        title="Delivery speed",
        unit="ratio",
        direction=Direction.HIGHER,
        formula="D / T",
        meaning="Seconds of speech per second, the inverse of rtf. Other tools call it streaming efficiency.",
        moved_by="Everything that moves rtf.",
        fooled_by="Everything that fools rtf. It exists for comparison with values from other tools.",
    ),
)

# No share is good or bad by itself, so none is gated. A smaller share of a stage means less work.
_stage_share = partial(
    Metric,
    unit="ratio",
    direction=Direction.LOWER,
    share=True,
    fooled_by="Stages that overlap, as with parallel sessions: their shares are unknown. The shares are of elapsed "
    "time, not of CPU time.",
)

STAGES = (
    _stage_share(
        name="stage_share_phonemise",
        title="Share of phonemising",
        formula="Σ phonemise marks / T",
        meaning="The share of the latency that turns text into phonemes.",
        moved_by="The text, espeak-ng, and its first call in a process.",
    ),
    _stage_share(
        name="stage_share_inference",
        title="Share of inference",
        formula="Σ session.run / T",
        meaning="The share of the latency spent in ONNX Runtime.",
        moved_by="The graph, quantisation, the provider, threads.",
    ),
    _stage_share(
        name="stage_share_postprocess",
        title="Share of post-processing",
        formula="Σ postprocess marks / T; if an engine marks none: from the end of each session.run to the next mark, "
        "and from the last one to the last chunk",
        meaning="The share of the latency that trims and joins audio.",
        moved_by="Trimming, joining, pauses between segments.",
    ),
    _stage_share(
        name="stage_share_rest",
        title="Share of the rest",
        formula="1 − the other three shares",
        meaning="The share of the latency outside these stages.",
        moved_by="Splitting the text, Python, waiting under load, and the way from the engine to the listener.",
    ),
)
