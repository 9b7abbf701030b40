"""A day in the life of a schedule: real runs, kills, a full disk, live pages and planted slowdowns, and what holds.

A scheduler with its dashboard measures a scripted server each minute and the small model each two minutes. Meanwhile
something is killed every few minutes, the disk is filled and freed twice, and a slowdown is planted and taken back
twice. Ends with a table of checks, and with exit code 3 if one does not hold. Linux only.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks.soak_checks import all_checks
from benchmarks.soak_evidence import Check
from benchmarks.soak_ground import Ballast, adopt_orphans, end_all, enter_own_mounts, mount_disk
from benchmarks.soak_site import SERVER_JOB, SLOW, USUAL, Site
from harness.core.records.schedule import AlertKind, FireState
from harness.server.mock.server import serving
from harness.store.runs import open_store

VICTIMS = ("worker", "run", "scheduler", "both")
TICK_S = 0.5
FULL_S = 40.0
"""How long the disk is full; a schedule waits 90 s for space."""
DISK_BYTES = 96_000_000
DISK_BYTES_PER_MINUTE = 4_000_000
SETTLE_S = 600.0
"""The longest time to wait, after the last disturbance, until everything is measured and sent. Where the gate stays
undecided, seven runs within the tolerance end an alert, and a run comes each minute."""
LOOK_EVERY = 10
"""Of so many ticks, one reads the store."""
RUNS_BEFORE = 2
"""So many runs have measured the server as usual before a slowdown is planted. With one accepted run the gate sees no
change at all, and while the alert of an earlier slowdown is open, a new one is the same to it."""
FIRST_KILL, LAST_SCHEDULER, LAST_KILL = 0.12, 0.5, 0.92
"""The kills, as shares of the time. The last scheduler is left alone for long, because its memory is observed."""
TWO_PLANTS_MINUTES = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something to do `at` seconds after the start; it is tried until it returns True, for up to `within_s`."""

    at: float
    do: Callable[[], bool]
    within_s: float = 60.0


def main() -> int:
    """Soak, and print the table. Return 3 if a check does not hold, 2 if this system cannot do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=1, help="of the times of the kills and of what they hit")
    parser.add_argument("--kill-every", type=float, default=120.0, metavar="SECONDS")
    parser.add_argument("--keep", type=Path, help="a folder that gets the logs and the store")
    given = parser.parse_args()
    if sys.platform != "linux":
        print("the soak needs Linux: it mounts a small disk and adopts orphans", file=sys.stderr)
        return 2
    own_disk = enter_own_mounts()
    adopt_orphans()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    minutes = given.hours * 60 or given.minutes
    print(f"seed {given.seed}, {minutes:g} minutes, a kill about every {given.kill_every:g} s")
    with ExitStack() as stack:
        stack.callback(end_all)
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kokoro-bench-soak-")))
        url, server = stack.enter_context(serving(USUAL))
        root = work / "disk"
        root.mkdir()
        if own_disk:
            mount_disk(root, round(DISK_BYTES + DISK_BYTES_PER_MINUTE * minutes))
            stack.callback(_unmount, root)
        site = Site(
            root=root, work=work, server=server, server_url=url, random=random.Random(given.seed),  # noqa: S311
            ballast=Ballast(place=root) if own_disk else None,
        )  # fmt: skip
        stack.callback(site.webhook.close)
        stack.callback(site.audience.close)
        _play(site, sorted(_script(site, minutes * 60, given.kill_every), key=lambda step: step.at), minutes * 60)
        settled = _settle(site)
        code = site.stop()
        checks = all_checks(site, exit_code=code, settled=settled)
        if given.keep:
            _keep(site, given.keep)
    _print(checks)
    return 3 if any(check.holds is False for check in checks) else 0


def _script(site: Site, length_s: float, kill_every_s: float) -> Iterator[Step]:
    """What happens when, by the seed."""
    draw = site.random
    two = length_s >= TWO_PLANTS_MINUTES * 60
    for since, until in ((0.2, 0.4), (0.6, 0.8)) if two else ((0.5, 0.8),):
        yield Step(at=since * length_s, do=in_turn(site, planted=True), within_s=length_s)
        yield Step(at=until * length_s, do=in_turn(site, planted=False), within_s=length_s)
    for at in (0.2, 0.4) if two else (0.5,):
        # The alert of the first slowdown ends its sender, and so does the message of its end.
        yield Step(at=at * length_s, do=lambda: _done(setattr, site.webhook, "armed", True))
    fills = [draw.uniform(*span) * (length_s - FULL_S) for span in ((0.25, 0.32), (0.84, 0.92))]
    for at in fills:
        yield Step(at=at, do=lambda: _done(site.disk, full=True))
        yield Step(at=at + FULL_S, do=lambda: _done(site.disk, full=False))
    at, victims = FIRST_KILL * length_s, list[str]()
    while at < LAST_KILL * length_s:
        allowed = VICTIMS if at < LAST_SCHEDULER * length_s else VICTIMS[:2]
        victims = [each for each in victims if each in allowed] or list(allowed)
        victim = victims.pop(draw.randrange(len(victims)))
        if not any(-5 < at - fill < FULL_S + 5 for fill in fills):
            yield Step(at=at, do=lambda victim=victim: site.kill(victim))  # type: ignore[misc]
        at += kill_every_s * draw.uniform(0.6, 1.4)


def in_turn(site: Site, *, planted: bool) -> Callable[[], bool]:
    """Plants the slowdown, or takes it back, between two runs, and not before enough of them have measured the server.

    As a new version would: a run that lies in it by half shows neither level.
    """
    tries = count()

    def step() -> bool:
        if next(tries) % LOOK_EVERY or (site.server.script is SLOW) == planted:
            return False
        if not site.measured_since_change(RUNS_BEFORE if planted else 1):
            return False
        return _done(site.slow, planted=planted)

    return step


def _done(action: Callable[..., object], *arguments: object, **named: object) -> bool:
    action(*arguments, **named)
    return True


def _play(site: Site, steps: list[Step], length_s: float) -> None:
    started = time.monotonic()
    while (now := time.monotonic() - started) < length_s:
        site.tend()
        due = [step for step in steps if step.at <= now]
        for step in due:
            if step.do() or now > step.at + step.within_s:
                steps.remove(step)
        time.sleep(TICK_S)


def _settle(site: Site) -> bool:
    """Wait until what is due by now was measured and sent, and alerts on failures and slowdowns have ended.

    Return False if that has not come after a time.
    """
    site.webhook.armed = False
    if site.filling:
        site.disk(full=False)
    if site.server.script is not USUAL:
        site.slow(planted=False)
    since, until = time.time(), time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        for _ in range(10):
            site.tend()
            time.sleep(TICK_S)
        with open_store(site.store) as store:
            journal = store.journal()
            fires = journal.fires()
            jobs = {fire.run_id: fire.declared_job for fire in fires}
            waiting = [fire for fire in fires if fire.due_at < since and fire.state is not FireState.ENDED]
            still_open = [
                alert
                for alert in journal.alerts()
                if alert.closed_at is None
                and (alert.kind is AlertKind.FAILURE or jobs.get(alert.found_in) == SERVER_JOB)
                and alert.kind is not AlertKind.IMPROVEMENT
            ]
            if not waiting and not still_open and not journal.messages(left=True):
                return True
    return False


def _unmount(root: Path) -> None:
    import subprocess

    subprocess.run(["umount", "--lazy", str(root)], check=False)  # noqa: S607


def _keep(site: Site, folder: Path) -> None:
    from shutil import copytree

    copytree(site.root, folder / "project", dirs_exist_ok=True, ignore=lambda *_: ["ballast", "reports"])
    (folder / "scheduler.log").write_bytes(site.log.read_bytes())
    (folder / "memory.json").write_text(json.dumps(site.memory.samples))
    print(f"kept in {folder}")


def _print(checks: list[Check]) -> None:
    signs = {True: "holds", False: "DOES NOT HOLD", None: "not shown"}
    width = max(len(check.name) for check in checks)
    print(f"\n{'check':<{width}}  {'':<13}  figure")
    for check in checks:
        print(f"{check.name:<{width}}  {signs[check.holds]:<13}  {check.figure}")
        for detail in check.details[:10]:
            print(f"{'':<{width}}    {detail}")


if __name__ == "__main__":
    sys.exit(main())
