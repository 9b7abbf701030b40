"""Metrics of streaming: how audio arrives relative to its playback."""

from harness.metrics.metric import Direction, Metric, Per

STREAMING = (
    Metric(
        name="gap",
        title="Gap between chunks",
        unit="s",
        direction=Direction.LOWER,
        per=Per.CHUNK,
        formula="a_k − a_(k−1), as a distribution over all chunks that hold audio",
        meaning="How evenly audio arrives.",
        moved_by="The size of the chunks, inference per chunk, buffering on the way.",
        fooled_by="Large chunks make large gaps that are inaudible: only stall shows whether playback stopped. Proxies "
        "and compression that join chunks make gaps of 0.",
        beside="stall",
    ),
    Metric(
        name="stall",
        title="Stalling",
        unit="s",
        direction=Direction.LOWER,
        formula="playback starts at a_1 without a pre-buffer, stops when it has no audio and resumes at the next "
        "chunk: total time stopped",
        meaning="The total time of silence because audio arrives late.",
        moved_by="Chunks that take longer to synthesise than to play, and an unsteady machine or network.",
        fooled_by="Sending everything at the end: then nothing stalls. Read it together with overlap. One late chunk "
        "counts once, and audio that arrives in bursts but in time does not count.",
        beside="overlap",
    ),
    Metric(
        name="stall_count",
        title="Number of stalls",
        unit="count",
        direction=Direction.LOWER,
        decimals=0,
        formula="number of stops in the same playback",
        meaning="How often playback is interrupted.",
        moved_by="Everything that moves stall.",
        fooled_by="A count ignores the length of the stops: read it together with stall.",
        beside="stall",
    ),
    Metric(
        name="prebuffer",
        title="Pre-buffer needed",
        unit="s",
        direction=Direction.LOWER,
        formula="max_k (a_k − a_1 − Σ_(j<k) d_j), at least 0",
        meaning="The shortest wait before playback that prevents every stall.",
        moved_by="Everything that moves stall.",
        fooled_by="It is known only afterwards: a player must guess it. Within one repetition it equals stall. Over "
        "many repetitions, a player needs the maximum of it, while stalls add up.",
        beside="overlap",
    ),
    Metric(
        name="streaming_efficiency",
        title="Streaming efficiency",
        unit="ratio",
        direction=Direction.HIGHER,
        share=True,
        formula="D / (D + stall)",
        meaning="The share of the playback time that is audio.",
        moved_by="Everything that moves stall.",
        fooled_by="Sending everything at the end, which is 100 % efficient and does not stream: always read it "
        "together with overlap.",
        beside="overlap",
    ),
    Metric(
        name="overlap",
        title="Overlap of synthesis and listening",
        unit="ratio",
        direction=Direction.HIGHER,
        share=True,
        formula="1 − ttfc / T",
        meaning="The share of the synthesis that remains when the first audio has arrived: 0 without streaming.",
        moved_by="The size of the first chunk relative to the whole text.",
        fooled_by="A small first chunk of silence. For a single chunk the value is unknown, not 0: it does not stream.",
        beside="streaming_efficiency",
    ),
)
