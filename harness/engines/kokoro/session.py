"""ONNX Runtime sessions as an order asks for them, and a stand-in that stamps every run.

Runs in every environment with ONNX Runtime 1.20 or newer; needs nothing else.
"""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.saved_graphs import REMEDY, stamped_in, why_unfit
from harness.engines.option_values import read_choice, read_count, read_switch
from harness.engines.protocol import EngineOrder, Stages
from harness.engines.providers import Provider, find_provider, why_absent
from harness.engines.speech import EngineRefusal

LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
MODES = {"sequential": "ORT_SEQUENTIAL", "parallel": "ORT_PARALLEL"}
CHOICES: Mapping[str, Mapping[str, str]] = {"graph_optimization": LEVELS, "execution_mode": MODES}
"""Session option → its values, with ONNX Runtime's names of them."""
PRELOADED = ("CUDAExecutionProvider", "TensorrtExecutionProvider")

SESSION_OPTIONS: Mapping[str, str] = {
    "graph_optimization": "disable, basic, extended or all",
    "execution_mode": "sequential or parallel",
    "inter_threads": "a count, for the parallel execution mode",
    "arena": "on or off: ONNX Runtime's own memory arena",
    "arena_shrink": "on or off: give the arena's unused memory back after each run",
    "memory_pattern": "on or off: plan buffers from the first run's shapes",
    "spinning": "on or off: threads wait by spinning",
}
"""Every session option of an arm, and the values that it takes."""


class StampedSession:
    """Looks like an `onnxruntime.InferenceSession`; each `run` is a stage "inference", and adds its inputs to `fed`."""

    def __init__(
        self,
        session: Any,  # noqa: ANN401 - untyped library
        stages: Stages,
        run_options: Any = None,  # noqa: ANN401 - untyped library
        fed: list[Mapping[str, Any]] | None = None,
    ) -> None:
        self._session = session
        self._stages = stages
        self._run_options = run_options
        self._fed = fed

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - untyped library
        return getattr(self._session, name)

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any], run_options: Any = None) -> Any:  # noqa: ANN401
        if self._fed is not None:
            self._fed.append(feeds)
        with self._stages.stage("inference"):
            return self._session.run(outputs, feeds, run_options or self._run_options)


def open_session(order: EngineOrder) -> Any:  # noqa: ANN401 - untyped library
    """Create the session on the requested provider. EngineRefusal if ONNX Runtime falls back to another one."""
    import onnxruntime as ort

    provider = find_provider(order.provider)
    if provider is None:
        raise EngineRefusal(f"unknown provider {order.provider!r}")
    available = ort.get_available_providers()
    if provider.ort not in available:
        raise EngineRefusal(why_absent(provider, available, version=ort.__version__))
    if order.seed:
        ort.set_seed(order.seed)
    preload_libraries(ort, provider)
    try:
        session = ort.InferenceSession(
            order.model_path,
            sess_options=session_options(order),
            providers=[(provider.ort, dict(order.provider_options))],
        )
    except EngineRefusal:
        raise
    except Exception as error:
        refuse_unfit(stamped_in(Path(order.model_path)), order, version=ort.__version__)
        raise EngineRefusal(f"ONNX Runtime {ort.__version__} cannot load the model: {_load_error(error)}") from error
    refuse_unfit(session.get_modelmeta().custom_metadata_map, order, version=ort.__version__)
    got = session.get_providers()
    if got[0] != provider.ort:
        needed = f"; it needs {provider.needs}" if provider.needs else ""
        raise EngineRefusal(f"asked for {provider.ort}, but ONNX Runtime fell back to {got[0]}{needed}")
    return session


def refuse_unfit(metadata: Mapping[str, str], order: EngineOrder, *, version: str) -> None:
    """Refuse a graph that was saved for another version of ONNX Runtime, another provider or another kind of CPU."""
    if unfit := why_unfit(metadata, version=version, provider=order.provider):
        raise EngineRefusal(f"{unfit} — {REMEDY}")


def preload_libraries(ort: Any, provider: Provider) -> None:  # noqa: ANN401 - untyped library
    """Load CUDA and cuDNN from the packages of NVIDIA in this environment.

    The loader of the operating system does not search there, and without them ONNX Runtime falls back to the CPU.
    Builds before 1.21 cannot do this. What is missing is printed by ONNX Runtime to stdout, which may carry data.
    """
    if provider.ort in PRELOADED and hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(sys.stderr):
            ort.preload_dlls()


def check_options(options: Mapping[str, str]) -> None:
    """EngineRefusal for an unknown session option, or a value that it does not take."""
    for name, value in options.items():
        _read_option(name, value)


def _read_option(name: str, value: str) -> Any:  # noqa: ANN401 - each option has its own type
    option = f"session option {name}"
    if name not in SESSION_OPTIONS:
        raise EngineRefusal(f"unknown session option {name!r}; known: {', '.join(SESSION_OPTIONS)}")
    if name in CHOICES:
        return CHOICES[name][read_choice(option, value, CHOICES[name])]
    return read_count(option, value) if name == "inter_threads" else read_switch(option, value)


def session_options(order: EngineOrder) -> Any:  # noqa: ANN401 - untyped library
    """The `SessionOptions` of an order, with ONNX Runtime's defaults for the rest."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = order.threads
    options.log_severity_level = 3
    if order.profile:
        options.enable_profiling = True
        options.profile_file_prefix = order.profile
    for name, text in order.session_options.items():
        value = _read_option(name, text)
        if name == "graph_optimization":
            options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, value)
        elif name == "execution_mode":
            options.execution_mode = getattr(ort.ExecutionMode, value)
        elif name == "inter_threads":
            options.inter_op_num_threads = value
        elif name == "arena":
            options.enable_cpu_mem_arena = value
        elif name == "memory_pattern":
            options.enable_mem_pattern = value
        elif name == "spinning":
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(value)))
    return options


def run_options(order: EngineOrder) -> Any:  # noqa: ANN401 - untyped library
    """The `RunOptions` of an order; None if no option acts on single runs."""
    if not read_switch("session option arena_shrink", order.session_options.get("arena_shrink", "off")):
        return None
    import onnxruntime as ort

    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _load_error(error: Exception) -> str:
    """The error in one line of about 400 characters: the kind stands at its beginning, the reason at its end."""
    reason = " ".join(str(error).split())
    return reason if len(reason) <= 400 else f"{reason[:80]} … {reason[-310:]}"
