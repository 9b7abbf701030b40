"""Launches both arms of a pair under memray, which slows them down: never during a measurement."""

import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from harness.core.records.allocations import AllocationPair, Allocations
from harness.core.records.scenario import Arm, Utterance
from harness.measure.conductor.memray_reader import read_allocations
from harness.measure.conductor.ort_profile import synthesise_once
from harness.measure.conductor.requests import engine_order
from harness.measure.conductor.worker_factory import LOAD_TIMEOUT_S, WorkerFactory
from harness.measure.worker.protocol import LoadOrder, TrackOrder
from harness.measure.worker.worker_lost import WorkerLost

REQUESTS = 3
"""Requests of each side. Memory that each of them keeps is three blocks."""


def memray_site() -> str:
    """The folder in which memray is installed for the harness, "" if it is not."""
    found = find_spec("memray")
    return str(Path(found.origin).parents[1]) if found and found.origin else ""


def track_pair(
    arms: tuple[Arm, Arm],
    *,
    worker_factory: WorkerFactory,
    voice: str,
    seed: int,
    utterance: Utterance,
    script: Mapping[str, str] = MappingProxyType({}),
) -> AllocationPair:
    """Launch a candidate and a reference one after the other, each with `REQUESTS` requests of the text."""

    def side(arm: Arm) -> Allocations:
        order = engine_order(arm, worker_factory.files(arm), voice=voice, seed=seed, script=script)
        with tempfile.TemporaryDirectory(prefix="kokoro-bench-memray-", ignore_cleanup_errors=True) as folder:
            loaded, spoken = Path(folder, "loaded.bin"), Path(folder, "spoken.bin")
            worker = worker_factory.start(worker_factory.place(arm))
            try:
                worker.track(TrackOrder(path=str(loaded), site=memray_site()), timeout_s=LOAD_TIMEOUT_S)
                load = LoadOrder(arm_id=arm.id, launch=0, engine=order, speak_first=False)
                launch = worker.load(load, timeout_s=LOAD_TIMEOUT_S)
                if not launch.outcome.valid:
                    raise WorkerLost(launch.outcome.kind, launch.outcome.reason)
                # The high-water mark of the start is not that of the requests.
                worker.track(TrackOrder(path=str(spoken), site=memray_site()), timeout_s=LOAD_TIMEOUT_S)
                for _ in range(REQUESTS):
                    synthesise_once(worker, utterance, voice=voice)
                worker.track(TrackOrder(), timeout_s=LOAD_TIMEOUT_S)
            finally:
                worker.close()
            return read_allocations(loaded, spoken)

    try:
        candidate, reference = map(side, arms)
    except WorkerLost as lost:
        revision = next((arm.revision for arm in arms if arm.revision), "")
        of = f"a worker is that of revision {revision}: " if revision else ""
        return AllocationPair(reason=f"{of}{lost.reason}")
    return AllocationPair(candidate=candidate, reference=reference, requests=REQUESTS)
