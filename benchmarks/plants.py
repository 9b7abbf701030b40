"""Causes to plant: what a duel is made of whose cause is known, and what it has to name.

Everything is made on the spot, in a folder of its own: models with other nodes, packages and commits of kokoro-onnx.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import requires, version
from importlib.resources import files
from pathlib import Path
from shutil import copytree, rmtree
from typing import TYPE_CHECKING

from harness.core.errors import RuntimeBuildError
from harness.core.uv import run_uv

if TYPE_CHECKING:
    from onnx import ModelProto

MODEL = "replica-small"

Sides = Callable[[Path], tuple[str, ...]]
"""Prepares a duel in a folder: candidate, reference, and the options in which it differs from the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A duel with a known cause, of a `kind` that `--only` chooses.

    `cause` is a pattern of the suspect that must be the first of all; "" where both sides are equal and nothing may be
    named. `part` is a pattern of the first of the stages, phases or parts of memory that moved; "" where any will do.
    """

    kind: str
    name: str
    sides: Sides
    cause: str
    part: str = ""
    metric: str = "latency"


def slower_operator(operator: str) -> Sides:
    """A model in which 300 nodes of one operator more work on the largest tensor before the last convolution."""

    def sides(folder: Path) -> tuple[str, ...]:
        import onnx

        model, voices = _original()
        graph = model.graph
        at, last = max((place, node) for place, node in enumerate(graph.node) if node.op_type == "Conv")
        value, nodes = last.input[0], []
        for number in range(300):
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
        return f"model={path}", f"model={MODEL}", "--voices", voices

    return sides


def quantised_block(block: str, pairs: int) -> Sides:
    """A model in which `pairs` of quantising and dequantising nodes stand before each convolution of one block.

    ONNX Runtime removes pairs of a constant scale, and keeps those whose scale it computes.
    """

    def sides(folder: Path) -> tuple[str, ...]:
        import onnx

        model, voices = _original()
        graph = model.graph
        nodes = []
        for node in graph.node:
            if node.op_type == "Conv" and node.name.startswith(block):
                value = node.input[0]
                for number in range(pairs):
                    name = f"{node.name}/planted_{number}"
                    parts = [f"{name}_{part}" for part in ("quantised", "scale", "zero")]
                    nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", [value], parts, name=f"{name}_to"))
                    nodes.append(onnx.helper.make_node("DequantizeLinear", parts, [name], name=f"{name}_from"))
                    value = name
                node.input[0] = value
            nodes.append(node)
        if len(nodes) == len(graph.node):
            raise SystemExit(f"{MODEL} has no convolutions in {block}")
        nodes = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(nodes)
        path = folder / "planted.onnx"
        onnx.save(model, path)
        return f"model={path}", f"model={MODEL}", "--voices", voices

    return sides


def changed_package(file: str, pattern: str, replacement: str) -> Sides:
    """kokoro-onnx as a package of a folder, as it is and with a change in one of its files."""

    def sides(folder: Path) -> tuple[str, ...]:
        usual = write_package(folder / "usual", released="99.1")
        slow = write_package(folder / "slow", released="99.2")
        change_package(slow, file, pattern, replacement)
        return f"path:{slow}", f"path:{usual}"

    return sides


def commit(file: str, pattern: str, replacement: str) -> Sides:
    """A repository of kokoro-onnx with two commits of one version, the second with a change in one of its files."""

    def sides(folder: Path) -> tuple[str, ...]:
        root = write_package(folder / "engine", released="99.1")
        before = commit_all(root, "Speak")
        change_package(root, file, pattern, replacement)
        after = commit_all(root, "Speak otherwise")
        return f"kokoro-onnx @ git+file://{root}@{after}", f"kokoro-onnx @ git+file://{root}@{before}"

    return sides


def named(candidate: str, reference: str, *options: str) -> Sides:
    """Two sides that need no preparation."""
    return lambda _folder: (candidate, reference, *options)


def refusal(plant: Plant) -> str:
    """Why a plant cannot be made here, or "": an older ONNX Runtime may not be had."""
    if plant.kind != "onnxruntime":
        return ""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        for requirement in plant.sides(Path(folder))[:2]:
            try:
                run_uv(
                    "pip", "install", "--dry-run", "--quiet", "--no-deps", "--python", sys.executable, "--target",
                    folder, requirement, folder=Path(folder), what=requirement,
                )  # fmt: skip
            except RuntimeBuildError as error:
                return str(error)
    return ""


def _original() -> "tuple[ModelProto, str]":
    """The model as ONNX reads it, and the path of its voices."""
    import onnx

    from harness.plan.model_catalogue import model_catalogue

    found = model_catalogue().resolve(MODEL)
    return onnx.load(found.model_path), str(found.voices_path)


def write_package(root: Path, *, released: str) -> Path:
    """The installed kokoro-onnx as the source of a package of another version."""
    rmtree(root, ignore_errors=True)
    copytree(str(files("kokoro_onnx")), root / "kokoro_onnx", ignore=lambda *_: ["__pycache__"])
    needed = [each for each in requires("kokoro-onnx") or () if "extra ==" not in each]
    (root / "pyproject.toml").write_text(
        f'[project]\nname = "kokoro-onnx"\nversion = "{released}"\ndependencies = {json.dumps(needed)}\n'
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[tool.setuptools]\npackages = ["kokoro_onnx"]\n[tool.setuptools.package-data]\nkokoro_onnx = ["*"]\n'
    )
    return root


def change_package(root: Path, file: str, pattern: str, replacement: str) -> None:
    """Replace the first match in a file of the package. SystemExit if there is none."""
    module = root / "kokoro_onnx" / file
    text, changes = re.subn(pattern, replacement, module.read_text(encoding="utf-8"), count=1)
    if not changes:
        raise SystemExit(f"{file} of kokoro-onnx {version('kokoro-onnx')} has no {pattern!r}")
    module.write_text(text, encoding="utf-8")


def commit_all(root: Path, subject: str) -> str:
    """Commit everything in a folder. The hash of the commit."""
    author = ["-c", "user.name=Planter", "-c", "user.email=planter@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", subject]):
        subprocess.run(["git", *command], cwd=root, check=True)  # noqa: S607
    head = root / ".git" / (root / ".git" / "HEAD").read_text().removeprefix("ref: ").strip()
    return head.read_text().strip()


PACKAGE, REVISION = r"^kokoro-onnx 99\.1 → 99\.2", "^revision "
PHONEMISE = "tokenizer.py", r"(        with _espeak_lock:)\n(            phonemes = )"
INFER = "__init__.py", r"(        outputs = self\.sess\.run\(None, inputs\)\n)"
IMPORT = "__init__.py", r"\n\nclass Kokoro:"
SLOW_PHONEMES = r"\1\n            sum(range({work}))\n\2"
SLOW_END = r"\1        sum(range({work}))\n"
TWICE = r"\1\1"
WAITED = (
    r"        _began = time.thread_time()\n\1"
    r"        _until = time.thread_time() + {share} * (time.thread_time() - _began)\n"
    r"        while time.thread_time() < _until:\n            pass\n"
)
"""The calling thread works on inferences from begin to end, so its CPU time is theirs; it stops in a halted slice."""
KEPT = "        globals().{keep}(np.ones({megabytes}_000_000, np.uint8))\n"


def _held(keep: str, megabytes: int) -> str:
    """Memory that is taken before an inference and kept as `keep` says."""
    return KEPT.format(keep=keep, megabytes=megabytes) + r"\1"


def every_plant() -> Iterator[Plant]:
    """Thirty causes, and two sides that are equal."""
    for operator in ("Erf", "Tanh", "Sigmoid", "Atan", "Softplus", "Cos"):
        yield Plant(kind="operator", name=operator, sides=slower_operator(operator), cause=f"^operator {operator}:")
    pair = "^operator (DynamicQuantizeLinear|DequantizeLinear):"
    blocks = {"stage1.branch0": 80, "stage1.branch1": 80, "stage1.branch2": 80, "noise0/res": 160,
              "noise1/res": 80, "stage1": 30}  # fmt: skip
    for block, pairs in blocks.items():
        yield Plant(kind="subgraph", name=block, sides=quantised_block(f"/generator/{block}", pairs), cause=pair)
    changes = {
        "phonemise": (*PHONEMISE, SLOW_PHONEMES.format(work=2_000_000)),
        "postprocess": (*INFER, SLOW_END.format(work=2_000_000)),
        "inference": (*INFER, TWICE),
    }
    for stage, change in changes.items():
        yield Plant(kind="stage", name=stage, sides=changed_package(*change), cause=PACKAGE, part=f"^stage {stage}:")
    for stage, change in changes.items():
        yield Plant(kind="commit", name=stage, sides=commit(*change), cause=REVISION, part=f"^stage {stage}:")
    memory = {
        "loaded": (*IMPORT, "\n\n_HELD = np.ones(30_000_000, np.uint8)\n\n\nclass Kokoro:", "once loaded"),
        "kept": (*INFER, _held('setdefault("_kept", []) or _kept.append', 30), "kept after speaking"),
        "taken": (*INFER, r"        taken = np.ones(50_000_000, np.uint8)\n\1        del taken\n", "per request"),
    }
    for name, (file, pattern, replacement, part) in memory.items():
        yield _of_memory("memory", name, changed_package(file, pattern, replacement), part)
    for size in (12, 24):
        leaking = changed_package(*INFER, _held('setdefault("_kept", []).append', size))
        yield _of_memory("leak", f"{size} MB", leaking, "kept by each request")
    for option, reference in (
        ("threads=2", "threads=1"), ("execution_mode=parallel,inter_threads=2", "threads=1"),
    ):  # fmt: skip
        cause = f"^({option.partition('=')[0]}|threads|inter_threads)\\b"
        yield Plant(kind="option", name=option, sides=named(option, reference), cause=cause)
    yield _spinning()
    for level, reference in (("disable", "all"), ("basic", "all"), ("extended", "disable")):
        # The small model in floats runs as fast without the optimisations. With 8-bit weights they join nodes.
        sides = named(f"graph_optimization={level}", f"graph_optimization={reference}", "--model", f"{MODEL}-u8")
        yield Plant(kind="option", name=f"graph_optimization={level}", sides=sides, cause=r"^graph_optimization\b")
    older, newer = "1.20.1", "1.32.0"
    arms = f"onnxruntime=={older}", f"onnxruntime=={newer}"
    cause = f"^onnxruntime {newer} → {older}"
    # What newer releases made faster is unsigned 8-bit weights.
    sides = named(*arms, "--model", f"{MODEL}-u8")
    yield Plant(kind="onnxruntime", name=older, sides=sides, cause=cause)
    yield Plant(kind="same", name="threads=1", sides=named("threads=1", "threads=1"), cause="")


def _spinning() -> Plant:
    """Threads that wait for each other by spinning cost CPU time on each core, which scatters more than the time."""
    sides = named("spinning=on,threads=2", "spinning=off,threads=2", "--budget", "120s")
    return Plant(kind="option", name="spinning=on", sides=sides, cause=r"^spinning\b", metric="cpu_per_audio")


def _of_memory(kind: str, name: str, sides: Sides, part: str) -> Plant:
    """A launch has one value of memory, and its growth shows after some repetitions."""

    def many_launches(folder: Path) -> tuple[str, ...]:
        return (*sides(folder), "--launches", "6", "--blocks", "6")

    return Plant(kind=kind, name=name, sides=many_launches, cause=PACKAGE, part=f"^memory {part}", metric="rss_peak")
