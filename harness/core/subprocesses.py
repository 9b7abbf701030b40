"""Start a process of the harness in another environment: it can import this package and nothing next to it.

Also the services of the kernel by which no process is left behind.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

_PARENT_DEATH_SIGNAL = 1
_CHILD_SUBREAPER = 36

_CODE = """
import importlib.util, sys
from importlib import import_module
root, module = sys.argv.pop(1), sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("harness", root + "/__init__.py", submodule_search_locations=[root])
package = importlib.util.module_from_spec(spec)
sys.modules["harness"] = package
spec.loader.exec_module(package)
import_module(module).main()
"""


def command(python: str, root: str, module: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command line that calls `main` of `module`, a module of the harness in the directory `root`."""
    return [python, "-I", "-X", "utf8", "-c", _CODE, root, module, *arguments]


def end_with_parent() -> bool:
    """Have the kernel kill this process when its parent ends. Return False if that is not possible (other than Linux).

    Strictly, it is the end of the parent's thread that started this process (prctl(2), PR_SET_PDEATHSIG).
    """
    parent = os.getppid()
    done = _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    # If the parent ended before the call, the kernel does not report it.
    return done and os.getppid() == parent


def adopt_orphans() -> bool:
    """Have the kernel make this process the parent of its descendants whose parents end (PR_SET_CHILD_SUBREAPER).

    Return False if that is not possible (other than Linux).
    """
    return _prctl(_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes

        system: Any = ctypes.CDLL(None, use_errno=True)
        return bool(system.prctl(option, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False
