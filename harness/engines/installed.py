"""The version and providers of the installed ONNX Runtime, read in a child process: its import may end the process."""

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache

from harness.core.native_imports import REMEDY, TIMEOUT_S, import_failure

_PROGRAM = """
import json, onnxruntime
print("runtime " + json.dumps([onnxruntime.__version__, onnxruntime.get_available_providers()]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledRuntime:
    """The installed ONNX Runtime. `failure` says why it is unknown, "" if it is known."""

    version: str = ""
    providers: tuple[str, ...] = ()
    """ONNX Runtime's own names."""
    failure: str = ""


@lru_cache(maxsize=1)
def installed_runtime() -> InstalledRuntime:
    """Read it once in each process, which takes about half a second."""
    # -P: do not import a folder of that name in the working directory.
    command = [sys.executable, "-P", "-c", _PROGRAM]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return InstalledRuntime(failure=f"onnxruntime could not be asked for its providers: {error}")
    for line in done.stdout.splitlines():
        if line.startswith("runtime "):
            version, providers = json.loads(line.removeprefix("runtime "))
            return InstalledRuntime(version=version, providers=tuple(providers))
    return InstalledRuntime(failure=import_failure("onnxruntime") or "onnxruntime did not name its providers")


def unknown_providers() -> str:
    """A note for a run whose suites ask for every provider of the installed ONNX Runtime; "" if nothing was lost."""
    if not installed_runtime.cache_info().currsize or not (failure := installed_runtime().failure):
        return ""
    return f"No other provider than the CPU was planned: {failure}; {REMEDY}."
