"""Trends and the listener's timeline, with exact places."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from harness.core.records.repetition import ChunkMark, Repetition, StageMark
from harness.core.records.run import RunData
from reports.charts.timelines import Event, timeline, trend


def places(chart: str) -> list[float]:
    """Every height on the line, 0 at the top."""
    (path,) = re.findall(r'class="line" d="([^"]*)"', chart)
    return [float(number) for number in re.findall(r"(?:[ML][\d.]+ |V)(-?[\d.]+)", path)]


def repetition(run: RunData, chunks: tuple[ChunkMark, ...], end_ns: int) -> Repetition:
    valid = next(each for each in run.repetitions if each.audio is not None and each.outcome.valid)
    return replace(valid, chunks=chunks, end_ns=end_ns, stages=(StageMark(stage="<i>", start_ns=0, end_ns=end_ns),))


@given(st.lists(st.one_of(st.none(), st.floats(1, 100)), min_size=2, max_size=900))
def test_no_extreme_of_a_long_history_is_lost(values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    chart = trend(values, label=str, events=(), finding="a trend")
    if len(known) < 2:
        assert "<svg" not in chart
        return
    heights = places(chart)
    room = 0.08 * ((max(known) - min(known)) or abs(max(known)))
    low, high = min(known) - room, max(known) + room
    for extreme in (min(known), max(known)):
        wanted = 100 - 100 * (extreme - low) / (high - low)
        assert min(abs(height - wanted) for height in heights) < 0.06


def test_a_gap_breaks_the_line_and_an_event_is_marked_where_it_happened() -> None:
    event = Event(index=1, what="numpy 1 → 2 <b>", css="subject")
    chart = trend([1.0, 2.0, None, 3.0, 2.0], label=str, events=(event,), finding="five runs")
    assert chart.count("M") == 2
    assert 'x1="25%" x2="25%"' in chart
    assert "numpy 1 → 2 &lt;b&gt;" in chart


def test_a_late_chunk_is_a_stall_of_its_length(run: RunData) -> None:
    second = 24_000
    chunks = (ChunkMark(at_ns=500_000_000, frames=second), ChunkMark(at_ns=2_000_000_000, frames=second))
    found = timeline(repetition(run, chunks, 2_000_000_000))
    assert found is not None
    assert found.finding == "Sound is there after 0.50 s; it then stops 1 time, 0.50 s in all; all audio after 2.00 s."
    assert found.playback.count('class="sound"') == 2
    assert found.playback.count('class="stall"') == 1
    assert "stall: 1.500 to 2.000 s" in found.playback
    assert "&lt;i&gt;" in found.stages


def test_chunks_in_time_do_not_stall(run: RunData) -> None:
    chunks = (ChunkMark(at_ns=500_000_000, frames=24_000), ChunkMark(at_ns=1_400_000_000, frames=24_000))
    found = timeline(repetition(run, chunks, 1_400_000_000))
    assert found is not None
    assert "nothing stalls" in found.finding
    assert "stall" not in found.playback


def test_without_audio_there_is_no_timeline(run: RunData) -> None:
    assert timeline(repetition(run, (), 1)) is None
