"""A combination as Python that a user can paste: the session that was measured, and no other."""

from collections.abc import Mapping

from harness.core.records.scenario import Arm
from harness.engines.kokoro.session import LEVELS, MODES
from harness.engines.option_values import read_switch
from harness.engines.pooled.options import SENTENCES_OPTIONS
from harness.engines.providers import find_provider
from harness.plan.package_sources import PATH


def snippet(arm: Arm, *, model_path: str, voices_path: str) -> str:
    """Python for kokoro-onnx with the arm's packages, model, provider and session options.

    What the reference server adds to a session is named in a comment.
    """
    provider = find_provider(arm.provider)
    name = provider.ort if provider else arm.provider
    packages = " ".join(each.removeprefix(PATH) for each in arm.runtime.requirements)
    lines = [f"# pip install {packages}"] if packages else []
    served = [f"{name}={value}" for name, value in arm.session_options if name in SENTENCES_OPTIONS]
    lines += (
        [f"# {', '.join(served)}: of kokoro-bench serve, which splits texts; this is its session"] if served else []
    )
    lines += ["import onnxruntime as ort", "from kokoro_onnx import Kokoro", "", "options = ort.SessionOptions()"]
    lines += option_lines(dict(arm.session_options), threads=arm.threads)
    lines += [
        "session = ort.InferenceSession(",
        f"    {model_path!r},",
        "    sess_options=options,",
        f"    providers=[({name!r}, {dict(arm.provider_options)!r})],",
        ")",
    ]
    if _on(dict(arm.session_options), "arena_shrink"):
        lines = ["from functools import partial", "", *lines, *SHRINK]
    lines.append(f"kokoro = Kokoro.from_session(session, {voices_path!r})")
    return "\n".join(lines) + "\n"


SHRINK = (
    "run_options = ort.RunOptions()",
    'run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")',
    "session.run = partial(session.run, run_options=run_options)",
)


def option_lines(options: Mapping[str, str], *, threads: int) -> list[str]:
    """Assignments to `options`, an `onnxruntime.SessionOptions`, as `kokoro.session.session_options` makes them."""
    lines = [f"options.intra_op_num_threads = {threads}"] if threads else []
    for name, value in sorted(options.items()):
        if name == "graph_optimization":
            lines.append(f"options.graph_optimization_level = ort.GraphOptimizationLevel.{LEVELS[value]}")
        elif name == "execution_mode":
            lines.append(f"options.execution_mode = ort.ExecutionMode.{MODES[value]}")
        elif name == "inter_threads":
            lines.append(f"options.inter_op_num_threads = {int(value)}")
        elif name == "arena":
            lines.append(f"options.enable_cpu_mem_arena = {_on(options, name)}")
        elif name == "memory_pattern":
            lines.append(f"options.enable_mem_pattern = {_on(options, name)}")
        elif name == "spinning":
            key = "session.intra_op.allow_spinning"
            lines.append(f'options.add_session_config_entry("{key}", "{int(_on(options, name))}")')
    return lines


def _on(options: Mapping[str, str], name: str) -> bool:
    return read_switch(name, options.get(name, "off"))
