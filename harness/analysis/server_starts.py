"""Notes on the start-ups of servers that the run started: one sentence per server."""

from collections import Counter
from statistics import median

from harness.core.records.run import RunData
from harness.metrics.registry import METRICS
from harness.metrics.start_up import FIRST_AUDIO, SERVER_PARTS, launch_figures


def start_notes(data: RunData) -> tuple[str, ...]:
    """The median of each part of a server's valid starts. Several arms of one server are named by their ids."""
    notes = []
    arms = dict.fromkeys(scenario.arm for scenario in data.run.scenarios if scenario.arm.server)
    times = Counter(arm.server for arm in arms)
    for arm in arms:
        launches = [each for each in data.launches if each.arm_id == arm.id and each.outcome.valid]
        figures = [launch_figures(each) for each in launches]
        parts = []
        for part in SERVER_PARTS:
            values = [value for each in figures if (value := each[f"load_{part}"].value) is not None]
            if values:
                kind = "until its first audio" if part == FIRST_AUDIO else f"until {part}"
                parts.append(f"{METRICS[f'load_{part}'].format(median(values))} {kind}")
        if parts:
            starts = f"median of {len(launches)} starts" if len(launches) > 1 else "one start"
            name = arm.server if times[arm.server] == 1 else arm.id
            notes.append(f"start of the server {name} ({starts}): {', then '.join(parts)}")
    return tuple(notes)
