"""How audio flows while it is listened to."""

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
        fooled_by="Large chunks make large gaps that nobody hears: only stall tells whether playback stopped. Proxies "
        "and compression that join chunks make gaps of 0.",
        beside="stall",
    ),
    Metric(
        name="stall",
        title="Stalling",
        unit="s",
        direction=Direction.LOWER,
        formula="playback starts at a_1 without a pre-buffer, stops when it runs dry and resumes at the next chunk: "
        "total time stopped",
        meaning="How long a listener hears nothing because audio is late.",
        moved_by="Chunks that take longer to make than to play, and an unsteady machine or network.",
        fooled_by="Sending everything at the end: nothing stalls then. Read it beside overlap. One late chunk counts "
        "once, and audio that arrives in bursts but in time does not count.",
        beside="overlap",
    ),
    Metric(
        name="stall_count",
        title="Number of stalls",
        unit="count",
        direction=Direction.LOWER,
        decimals=0,
        formula="number of stops in the same playback",
        meaning="How often a listener is interrupted.",
        moved_by="What moves stall.",
        fooled_by="Many short stops and one long one weigh the same to a count: read it beside stall.",
        beside="stall",
    ),
    Metric(
        name="prebuffer",
        title="Pre-buffer needed",
        unit="s",
        direction=Direction.LOWER,
        formula="max_k (a_k − a_1 − Σ_(j<k) d_j), at least 0",
        meaning="The shortest wait before playback with which nothing stalls.",
        moved_by="What moves stall.",
        fooled_by="It is known only afterwards: a player must guess it. Within one repetition it equals stall; "
        "over many, a player needs the largest and a listener suffers the sum.",
        beside="overlap",
    ),
    Metric(
        name="streaming_efficiency",
        title="Streaming efficiency",
        unit="ratio",
        direction=Direction.HIGHER,
        share=True,
        formula="D / (D + stall)",
        meaning="The share of the listening time that is sound.",
        moved_by="What moves stall.",
        fooled_by="Sending everything at the end, which is 100 % efficient and does not stream: always read it beside "
        "overlap.",
        beside="overlap",
    ),
    Metric(
        name="overlap",
        title="Overlap of synthesis and listening",
        unit="ratio",
        direction=Direction.HIGHER,
        share=True,
        formula="1 − ttfc / T",
        meaning="How much of the synthesis is still to come when the first audio is there: 0 when nothing streams.",
        moved_by="The size of the first chunk against the whole text.",
        fooled_by="A small first chunk of silence. Audio of a single chunk is not 0 but unknown: it does not stream.",
        beside="streaming_efficiency",
    ),
)
