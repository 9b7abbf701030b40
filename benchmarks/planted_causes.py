"""Plants causes on real workers and says whether a duel names the true one first.

Each plant is one duel: of a model with one operator made slower, of a package that delays one stage or holds memory, of
a session option, of an older ONNX Runtime, or of a commit. `--simulated` counts instead how often the profiles of
scripted engines name a node that alone takes 20 % of the time less, and how often they name one where nothing differs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import requires, version
from importlib.resources import files
from pathlib import Path
from shutil import copytree

from harness.analysis.operators import profiled_pair
from harness.core.clock import ScriptedClock, SystemClock
from harness.core.records.profile import Profiled
from harness.core.records.scenario import Arm, ModelVariant, Utterance
from harness.engines import scripted_profile
from harness.measure.conductor.ort_profile import profile_pair
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.measure.worker.scripted_handle import ScriptedHandle

MODEL = "replica-small"
PARTS = ("stage", "phase", "memory", "operator", "node")
"""What the suspects that moved begin with. The others are differences between the arms."""
SEEDS = 200
TEXT = Utterance(text_class="own", variant=0, text="Hello there, this is a sentence of some length.")

Sides = Callable[[Path], tuple[str, ...]]
"""Prepares a duel in a folder: candidate, reference, and options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A duel with a known cause. `expected` is a pattern of the suspect, which is first of those of its kind.

    `kinds` are the beginnings of the suspects among which it must be first; empty for the differences of the arms.
    """

    sides: Sides
    expected: str
    kinds: tuple[str, ...] = ()
    metric: str = "latency"


def slower_operator(operator: str, times: int) -> Sides:
    """A model in which `times` nodes of one operator more work on the largest tensor before the last convolution."""

    def sides(folder: Path) -> tuple[str, ...]:
        import onnx

        from harness.models.catalogue import Catalogue

        original = Catalogue().resolve(MODEL)
        model = onnx.load(original.model_path)
        graph = model.graph
        at, last = max((place, node) for place, node in enumerate(graph.node) if node.op_type == "Conv")
        value, nodes = last.input[0], []
        for number in range(times):
            nodes.append(onnx.helper.make_node(operator, [value], [f"planted_{number}"], name=f"planted_{number}"))
            value = nodes[-1].output[0]
        zero = onnx.helper.make_tensor("planted_zero", onnx.TensorProto.FLOAT, [1], [0.0])
        graph.initializer.append(zero)
        nodes.append(onnx.helper.make_node("Mul", [value, "planted_zero"], ["planted_nothing"]))
        nodes.append(onnx.helper.make_node("Add", [last.input[0], "planted_nothing"], ["planted_sum"]))
        last.input[0] = "planted_sum"
        for node in reversed(nodes):
            graph.node.insert(at, node)
        path = folder / "planted.onnx"
        onnx.save(model, path)
        return f"model={path}", f"model={MODEL}", "--voices", str(original.voices_path)

    return sides


def changed_package(file: str, pattern: str, replacement: str) -> Sides:
    """kokoro-onnx as a package of a folder, as it is and with a change in one of its files."""

    def sides(folder: Path) -> tuple[str, ...]:
        found = []
        for name, released in (("slow", "99.2"), ("usual", "99.1")):
            root = folder / name
            copytree(str(files("kokoro_onnx")), root / "kokoro_onnx", ignore=lambda *_: ["__pycache__"])
            needed = [each for each in requires("kokoro-onnx") or () if "extra ==" not in each]
            (root / "pyproject.toml").write_text(
                f'[project]\nname = "kokoro-onnx"\nversion = "{released}"\ndependencies = {json.dumps(needed)}\n'
                '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
                '[tool.setuptools]\npackages = ["kokoro_onnx"]\n[tool.setuptools.package-data]\nkokoro_onnx = ["*"]\n'
            )
            found.append(f"path:{root}")
        module = folder / "slow" / "kokoro_onnx" / file
        text, changes = re.subn(pattern, replacement, module.read_text(encoding="utf-8"), count=1)
        if not changes:
            raise SystemExit(f"{file} of kokoro-onnx {version('kokoro-onnx')} has no {pattern!r}")
        module.write_text(text, encoding="utf-8")
        return found[0], found[1]

    return sides


def named(candidate: str, reference: str) -> Sides:
    """Two sides that need no preparation."""
    return lambda _folder: (candidate, reference)


BUSY = "\n            sum(range({work}))"
DIFFERENCE = r"^{name}\b"
PLANTS: Mapping[str, Plant] = {
    **{
        f"operator {operator}": Plant(
            sides=slower_operator(operator, 300), expected=rf"^operator {operator}:", kinds=("operator",)
        )
        for operator in ("Erf", "Tanh", "Sigmoid", "Atan", "Softplus")
    },
    "stage phonemise": Plant(
        sides=changed_package("tokenizer.py", r"(        with _espeak_lock:)\n(            phonemes = )",
                              r"\1" + BUSY.format(work=2_000_000) + r"\n\2"),
        expected="^stage phonemise:", kinds=("stage",),
    ),
    "option threads": Plant(sides=named("threads=2", "threads=1"), expected="^threads 1 → 2"),
    "option execution_mode": Plant(sides=named("execution_mode=parallel,inter_threads=2", "threads=1"),
                                   expected="^(threads|execution_mode)"),
    "option arena": Plant(sides=named("arena=off", "arena=on"), expected="^arena on → off"),
    "onnxruntime 1.20.1": Plant(sides=named("onnxruntime==1.20.1", "onnxruntime==1.23.2"),
                                expected=r"^onnxruntime 1\.23\.2 → 1\.20\.1"),
    "quantised": Plant(sides=named(f"model={MODEL}-u8", f"model={MODEL}"),
                       expected="^operator (ConvInteger|MatMulInteger|DynamicQuantizeLSTM)", kinds=("operator",)),
}  # fmt: skip


Found = Mapping[str, tuple[str, Sequence[str]]]
"""Metric → the verdict of one duel in words, and the suspects of its change."""


def suspects(sides: tuple[str, ...], folder: Path, options: Sequence[str]) -> Found:
    """Run a duel."""
    command = [sys.executable, "-m", "harness.cli", "duel", *sides, "--json", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if not done.stdout.startswith("{"):
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return {each["metric"]: (each["reason"], each["suspects"]) for each in json.loads(done.stdout)["verdicts"]}


def rank(plant: Plant, found: Found) -> tuple[int | None, list[str]]:
    """The place of the true cause among the suspects of its kind, from 1, and these suspects."""
    _, every = found[plant.metric]
    kinds = tuple(f"{kind} " for kind in plant.kinds)
    others = tuple(f"{start}{kind}" for kind in PARTS for start in ("", "no ", "unexplained by "))
    of_kind = [each for each in every if (each.startswith(kinds) if kinds else not each.startswith(others))]
    places = [place for place, each in enumerate(of_kind, start=1) if re.search(plant.expected, each)]
    return (places[0] if places else None), of_kind


def on_real_workers(wanted: Sequence[str], options: Sequence[str]) -> int:
    """Print a line for each plant. Return the number of those whose cause is not the first suspect."""
    missed = 0
    for name, plant in PLANTS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            sides = plant.sides(Path(folder))
            model = [] if "model=" in " ".join(sides) else ["--model", MODEL]
            found = suspects(sides, Path(folder), [*model, *options])
        place, seen = rank(plant, found)
        missed += place != 1
        words = f"suspect {place}" if place else "not named"
        reason, every = found[plant.metric]
        shown = "; ".join(each[:80] for each in (seen[:2] or every)) or reason
        sys.stdout.write(f"{name}: {words}; {shown}\n")
        sys.stdout.flush()
    return missed


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
    from harness.models.catalogue import Catalogue

    model = Catalogue().resolve(MODEL)
    arm = Arm(engine="kokoro", model=model.variant, threads=1)
    ours = ArmFiles(model_path=str(model.model_path), voices_path=str(model.voices_path))
    factory = WorkerFactory(start=ProcessHandle, place=lambda _arm: HERE, files=lambda _arm: ours)
    false = 0
    for number in range(pairs):
        profiles = profile_pair(
            (arm, arm), worker_factory=factory, clock=SystemClock(), voice="af_heart", seed=1 + 10 * number,
            utterance=TEXT,
        )  # fmt: skip
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
        (candidate, reference), worker_factory=factory, clock=clock, voice="v", seed=seed * 100, utterance=TEXT
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plants", nargs="*", help="words of the names of plants (default: all)")
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--text", default="chars-60")
    parser.add_argument("--same", type=int, default=0, metavar="PAIRS", help="profile so many pairs that do not differ")
    given = parser.parse_args()
    if given.same:
        return 3 if same_on_real_workers(given.same) else 0
    if given.simulated:
        return simulated()
    return (
        3
        if on_real_workers(
            given.plants, ["--budget", given.budget, "--text", given.text, "--effect", "5%", "--wait", "1h"]
        )
        else 0
    )


if __name__ == "__main__":
    sys.exit(main())
