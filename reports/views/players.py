"""The speech of a run for its page: transcripts and verdicts, and recordings up to a maximum size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.records.run import RunData
from harness.store.audio import KEPT_LAUNCHES, audio_path
from reports.charts.recordings import Recording, Sounding, levelled, read_recording
from reports.text.format import count, number
from reports.text.naming import Label, Names
from reports.views.speech import Badge, Speech, Transcript

MOST = 6_000_000
"""The maximum bytes of recordings in a single file. As text they take a third more, which still fits into a mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """One scenario's speech. `source` is its recording as a data URL, "" if the page does not carry it."""

    label: Label
    source: str
    gain: str
    badge: Badge | None
    transcript: Transcript | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Players:
    """The speech of a run. `left_out` is a sentence on missing recordings, `level` one on the level of the players.

    Both are "" if there is nothing to say. `judged`: there is a transcript or a verdict.
    """

    players: tuple[Player, ...]
    left_out: str
    level: str
    judged: bool

    @property
    def title(self) -> str:
        return "Speech and sound" if self.judged else "How it sounds"

    @property
    def playable(self) -> bool:
        return any(each.source for each in self.players)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    scenario_id: str
    launch: int
    size: int


def players(
    data: RunData, named: Names, folder: Path, *, speech: Speech | None = None, most: int = MOST
) -> Players | None:
    """The recordings of `data` under `folder`, one per scenario; None if there are none.

    The smallest are taken first, up to `most` bytes together. An unreadable recording counts as left out.
    """
    speech = speech or Speech(data)
    kept = list(_kept(data, folder))
    if not kept:
        return None
    carried = _carried(data, folder, kept, most)
    shown = levelled(carried, speech)
    sounding = {each.scenario_id: own for each, own in zip(carried, shown.players, strict=True)}
    launches = {each.scenario_id: each.launch for each in kept}
    found = tuple(_each(data, named, speech, sounding, launches))
    return Players(
        players=found,
        left_out=_left_out(len(kept) - len(carried), len(kept), most),
        level=shown.level,
        judged=any(each.transcript or each.badge for each in found),
    )


def transcripts(data: RunData, named: Names, speech: Speech) -> Players | None:
    """The transcripts and verdicts of a run, without players; None where nothing was judged."""
    found = tuple(_each(data, named, speech, {}, {}))
    return Players(players=found, left_out="", level="", judged=True) if found else None


def _each(
    data: RunData, named: Names, speech: Speech, sounding: dict[str, Sounding], launches: dict[str, int]
) -> Iterator[Player]:
    """The scenarios that are played, or of which something was judged; those of one text stand together."""
    requests = list(dict.fromkeys(each.request for each in data.run.scenarios))
    for scenario in sorted(data.run.scenarios, key=lambda each: requests.index(each.request)):
        judged = speech.launches(scenario.id)
        launch = launches.get(scenario.id, judged[0] if judged else 0)
        own, transcript, badge = (
            sounding.get(scenario.id),
            speech.transcript(scenario.id, launch),
            speech.badge(scenario.id),
        )
        if own or transcript or badge:
            yield Player(
                label=named.of(scenario.id),
                source=own.source if own else "",
                gain=own.gain if own else "",
                badge=badge,
                transcript=transcript,
            )


def _kept(data: RunData, folder: Path) -> Iterator[_Kept]:
    """The recording of the first launch, for each scenario that has one."""
    for scenario in data.run.scenarios:
        for launch in range(KEPT_LAUNCHES):
            path = audio_path(folder, data.run.id, scenario_id=scenario.id, launch=launch)
            try:
                size = path.stat().st_size
            except OSError:
                continue
            yield _Kept(scenario_id=scenario.id, launch=launch, size=size)
            break


def _carried(data: RunData, folder: Path, kept: Sequence[_Kept], most: int) -> list[Recording]:
    """The recordings that there is room for, in the order of the run."""
    found: dict[str, Recording] = {}
    room = most
    for each in sorted(kept, key=lambda each: each.size):
        recording = read_recording(folder, data.run.id, scenario_id=each.scenario_id, launch=each.launch, largest=room)
        if recording:
            found[each.scenario_id] = recording
            room -= len(recording.content)
    return [found[each.scenario_id] for each in kept if each.scenario_id in found]


def _left_out(missing: int, every: int, most: int) -> str:
    if not missing:
        return ""
    were = "was" if missing == 1 else "were"
    return (
        f"{missing} of {count(every, 'recording')} {were} left out: a file carries up to {number(most / 1e6, 0)} MB of "
        "sound. They are kept as FLAC files beside the results, in the run's folder under `audio`."
    )
