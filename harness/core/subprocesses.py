"""Start a process of the harness in another environment: it can import this package and nothing next to it."""

from collections.abc import Sequence

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
