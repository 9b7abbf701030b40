"""Packages whose import may crash a process. Only child processes import them, never the conductor.

`import onnxruntime` loads native code. On some machines this crashes the process: the CPU lacks an instruction, or a
driver or library does not match. If a child process crashes, only one scenario or model is lost. The functions here
then find out which package crashed.
"""

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import metadata

PACKAGES = ("onnxruntime", "onnx", "kokoro_onnx")
"""Import names. Each package comes before those that import it."""

REMEDY = "install another version of it; `kokoro-bench doctor` shows what loads here"
TIMEOUT_S = 120.0

_PROGRAM = """
import sys
from importlib import metadata

def version(name):
    try:
        return " " + metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

for name in sys.argv[1:]:
    print(name + version(name), flush=True)
    try:
        __import__(name)
    except BaseException as error:
        sys.exit(f"{type(error).__name__}: {error}")
print("all", flush=True)
"""


class ImportCheck:
    """Imports packages in a child process. The process starts at once, and `failure` waits for it."""

    def __init__(self, *packages: str, command: Sequence[str] = (sys.executable, "-P")) -> None:
        """Start the child process. `command` is the interpreter with the options of the process to check."""
        self._child = subprocess.Popen(
            [*command, "-c", _PROGRAM, *packages],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def failure(self) -> str:
        """A sentence that names the package that cannot be imported and how its import ends; "" if all succeed."""
        try:
            output, errors = self._child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as expired:
            self._child.kill()
            output, errors = self._child.communicate()
            return f"importing {last_line(output)} does not end within {expired.timeout:.0f} s"
        package = last_line(output)
        if package == "all":
            return ""
        if self._child.returncode == 1:
            return f"{package} cannot be imported ({last_line(errors)})"
        return f"importing {package} ends the process ({how_it_ended(self._child.returncode)})"


@lru_cache(maxsize=8)
def import_failure(*packages: str, command: Sequence[str] = (sys.executable, "-P")) -> str:
    """The result of an `ImportCheck`, which takes about a second. Also "" if the interpreter cannot be started."""
    try:
        return ImportCheck(*packages or PACKAGES, command=command).failure()
    except OSError:
        return ""


def version_of(package: str) -> str:
    """The version of the distribution that installs a package, without importing it; "" if unknown.

    The name of a distribution may differ from its package: several builds of ONNX Runtime install the same package.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        names = _distributions().get(package, ())
        return metadata.version(names[0]) if names else ""


@lru_cache(maxsize=1)
def _distributions() -> Mapping[str, Sequence[str]]:
    """Import name → the distributions that install it. Reading all of them takes about a second."""
    return metadata.packages_distributions()


def how_it_ended(code: int) -> str:
    """A phrase on how a process ended, from its return code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}"


def last_line(output: str, *, otherwise: str = "nothing") -> str:
    """The last line that is not empty, or `otherwise`."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), otherwise)
