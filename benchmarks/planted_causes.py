"""Plants causes on real workers and says whether a duel names the true one first.

Each plant is one duel: of a model with one operator made slower or one subgraph quantised badly, of a package that
delays one stage, holds memory or leaks it, of a session option, of an older ONNX Runtime, or of two commits of an
engine. What counts is what the command prints as JSON. `--simulated` counts instead how often the profiles of scripted
engines name a node that alone takes 20 % of the time less, and how often they name one where nothing differs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.plants import MODEL, Plant, every_plant, refusal
from harness.analysis.operators import profiled_pair
from harness.core.clock import ScriptedClock, SystemClock
from harness.core.records.profile import Profiled
from harness.core.records.scenario import Arm, ModelVariant, Utterance
from harness.engines import scripted_profile
from harness.measure.conductor.ort_profile import TimeLimit, profile_pair
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.measure.worker.scripted_handle import ScriptedHandle

PARTS = ("stage", "phase", "memory")
"""The kinds of parts of the value itself. Operators and nodes are parts of the stage of inference."""
SEEDS = 200
TEXT = Utterance(text_class="own", variant=0, text="Hello there, this is a sentence of some length.")
OPTIONS = ("--effect", "5%", "--wait", "1h", "--quality", "off")

Found = Mapping[str, tuple[str, Sequence[tuple[str, str]]]]
"""Metric → the verdict of one duel in words, and the suspects of its change: kind and sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a duel named. `cause` is the place of the true cause among all suspects, from 1; None: it is not named.

    `part` is the place of the part that moved among the parts of the value, 1 where the plant asks for none. `named`
    are the suspects; where there are none, `reason` is the verdict.
    """

    cause: int | None
    part: int | None
    named: Sequence[str]
    reason: str = ""
    seconds: float = 0.0

    @property
    def rank(self) -> int | None:
        """The worse of both places."""
        return None if self.cause is None or self.part is None else max(self.cause, self.part)

    @property
    def words(self) -> str:
        """The places as the table shows them."""
        if self.rank is None and self.cause is not None:
            return f"{self.cause}, part not named"
        return "–" if self.rank is None else f"{self.rank}"


def suspects(sides: tuple[str, ...], folder: Path, options: Sequence[str]) -> Found:
    """Run a duel."""
    command = [sys.executable, "-m", "harness.cli", "duel", *sides[:2], "--json", *options, *sides[2:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return suspects_in(done.stdout)


def suspects_in(output: str) -> Found:
    """What a duel printed as JSON."""
    return {
        each["metric"]: (each["reason"], [*zip(each["suspect_kinds"], each["suspects"], strict=True)])
        for each in json.loads(output)["verdicts"]
    }


def outcome(plant: Plant, found: Found, *, seconds: float = 0.0) -> Outcome:
    """What a duel named of a plant. Of equal sides any suspect of any metric is a false one."""
    if not plant.cause:
        false = [f"{metric}: {each}" for metric, (_, every) in found.items() for _, each in every]
        right = None if false else 1
        return Outcome(cause=right, part=right, named=false, reason="nothing is named", seconds=seconds)
    reason, suspected = found[plant.metric]
    every = [each for _, each in suspected]
    parts = [each for kind, each in suspected if kind in PARTS]
    return Outcome(
        cause=_place(plant.cause, every),
        part=_place(plant.part, parts) if plant.part else 1,
        named=every,
        reason=reason,
        seconds=seconds,
    )


def _place(pattern: str, among: Sequence[str]) -> int | None:
    return next((place for place, each in enumerate(among, start=1) if re.search(pattern, each)), None)


def on_real_workers(plants: Sequence[Plant], options: Sequence[str], *, times: int) -> int:
    """Print a line for each duel, and the counts. Return the number of those whose cause is not the first suspect."""
    ranks: list[int | None] = []
    refused: dict[str, str] = {}
    _write_line(("plant", "rank", "seconds", "first named", "second"))
    _write_line(("---",) * 5)
    for plant in plants:
        name = f"{plant.kind} {plant.name}"
        if reason := refusal(plant):
            refused[name] = reason
            continue
        for seed in range(times):
            one = _play(plant, [*options, "--seed", str(seed)])
            ranks.append(one.rank)
            shown = [each[:100] for each in (*one.named[:2], *(() if one.named else (one.reason,)))]
            _write_line((name, one.words, f"{one.seconds:.0f}", *shown))
    for name, reason in refused.items():
        sys.stdout.write(f"{name}: refused: {reason}\n")
    places = Counter(ranks)
    sys.stdout.write(
        f"the true cause is the first suspect in {places[1]} of {len(ranks)}, among the first two in "
        f"{places[1] + places[2]}, and not named in {places[None]}\n"
    )
    return len(ranks) - places[1]


def _play(plant: Plant, options: Sequence[str]) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        sides = plant.sides(Path(folder))
        model = [] if "model" in " ".join(sides) else ["--model", MODEL]
        before = time.monotonic()
        found = suspects(sides, Path(folder), [*model, *options])
        return outcome(plant, found, seconds=time.monotonic() - before)


def _write_line(cells: Sequence[str]) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def simulated() -> int:
    """Print how often scripted profiles name the planted node first, and how often they name anything in A/A."""
    first = false = 0
    for seed in range(SEEDS):
        planted, same = (_scripted(seed, model) for model in ("scripted-8bit", "scripted"))
        moved = sorted(_named(planted), key=lambda part: -abs(part[1]))
        first += bool(moved) and moved[0][0] == f"scripted/{scripted_profile.CHANGED}_3"
        false += bool(_named(same))
    sys.stdout.write(f"the planted node is the first of the nodes that moved in {first} of {SEEDS}\n")
    sys.stdout.write(f"A/A: an operator or a node is named in {false} of {SEEDS}\n")
    return 0 if first >= 0.95 * SEEDS and false <= 0.02 * SEEDS else 3


def same_on_real_workers(pairs: int) -> int:
    """Print how often profiles of real workers name anything where both sides are the same. Return that number."""
    from harness.plan.model_catalogue import model_catalogue

    model = model_catalogue().resolve(MODEL)
    arm = Arm(engine="kokoro", model=model.variant, threads=1)
    ours = ArmFiles(model_path=str(model.model_path), voices_path=str(model.voices_path))
    factory = WorkerFactory(start=ProcessHandle, place=lambda _arm: HERE, files=lambda _arm: ours)
    false = 0
    for number in range(pairs):
        profiles = profile_pair(
            (arm, arm),
            worker_factory=factory,
            limit=TimeLimit(clock=SystemClock()),
            voice="af_heart",
            seed=1 + 10 * number,
            utterance=TEXT,
        )
        moved = _named(profiled_pair(profiles, candidate="candidate", reference="reference"))
        false += bool(moved)
        sys.stdout.write(f"pair {number + 1}: {profiles.reason or moved or 'nothing is named'}\n")
        sys.stdout.flush()
    sys.stdout.write(f"A/A on real workers: an operator or a node is named in {false} of {pairs}\n")
    return false


def _scripted(seed: int, model: str) -> Profiled:
    """The table of a pair of scripted arms, the original model being the reference."""
    clock = ScriptedClock()
    factory = WorkerFactory(
        start=lambda _place: ScriptedHandle(clock), place=lambda _arm: HERE, files=lambda _arm: ArmFiles()
    )
    # The number of threads changes nothing but the generator: with the same one both sides would scatter alike.
    candidate, reference = (
        Arm(engine="scripted", model=ModelVariant(name=name, sha256=name, size=1, origin="scripted"), threads=threads)
        for name, threads in ((model, 1), ("scripted", 2))
    )
    profiles = profile_pair(
        (candidate, reference),
        worker_factory=factory,
        limit=TimeLimit(clock=clock),
        voice="v",
        seed=seed * 100,
        utterance=TEXT,
    )
    return profiled_pair(profiles, candidate="candidate", reference="reference")


def _named(found: Profiled) -> list[tuple[str, float]]:
    """The nodes whose interval excludes zero with their difference in seconds; operators if no node is among them."""
    moved = [
        (each.node or each.operator, each.change.point)
        for each in (*found.nodes, *found.operators)
        if each.change is not None and (each.change.low > 0 or each.change.high < 0)
    ]
    return [each for each in moved if "/" in each[0]] or moved


def main() -> int:
    """Run the plants, or the simulation."""
    plants = tuple(every_plant())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plants", nargs="*", help="words of the names of plants (default: all)")
    kinds = list(dict.fromkeys(each.kind for each in plants))
    parser.add_argument("--only", action="append", choices=kinds, help="this kind, several times for several")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="play each plant so many times")
    parser.add_argument("--list", action="store_true", help="name the plants and end")
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--text", default="chars-60")
    parser.add_argument("--same", type=int, default=0, metavar="PAIRS", help="profile so many pairs that do not differ")
    given = parser.parse_args()
    if given.same:
        return 3 if same_on_real_workers(given.same) else 0
    if given.simulated:
        return simulated()
    chosen = [each for each in plants if not given.only or each.kind in given.only]
    wanted = given.plants
    chosen = [each for each in chosen if not wanted or any(word in f"{each.kind} {each.name}" for word in wanted)]
    if given.list:
        sys.stdout.writelines(f"{each.kind} {each.name}\n" for each in chosen)
        return 0
    options = ["--budget", given.budget, "--text", given.text, *OPTIONS]
    return 3 if on_real_workers(chosen, options, times=given.times) else 0


if __name__ == "__main__":
    sys.exit(main())
