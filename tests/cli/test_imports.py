"""What each command that only reads imports: other packages by name, and the project's own modules by their number."""

from collections.abc import Sequence
from importlib import metadata

import pytest

from tests.conftest import Command, Laboratory

OWN = ("harness", "reports")
MOST = {
    "--help": (8, {"click"}),
    "runs list": (66, {"click", "msgspec", "rich", "sqlalchemy", "typing_extensions"}),
    "models list": (75, {"click", "msgspec", "platformdirs", "rich", "typing_extensions"}),
    "doctor": (51, {"click", "platformdirs", "rich"}),
}
"""Command → how many of the project's own modules it imports, and which packages, at most.

The doctor imports ONNX Runtime and what is beneath it in a child process, whose imports are not counted.
"""


@pytest.mark.parametrize("command", MOST)
def test_a_command_imports_no_more_than_it_needs(kokoro_bench: Command, lab: Laboratory, command: str) -> None:
    if command == "runs list":
        lab.run()  # without a run no table is printed
    found = kokoro_bench(*command.split(), PYTHONPROFILEIMPORTTIME="1")
    assert found.stdout.count("\n") > 2, found.stderr
    imported = imported_modules(found.stderr.splitlines())
    own = [name for name in imported if name.partition(".")[0] in OWN]
    packages = {name.partition(".")[0] for name in imported} & metadata.packages_distributions().keys() - set(OWN)
    most_own, allowed = MOST[command]
    assert "harness.cli.command" in own
    assert "click" in packages
    assert packages <= allowed
    assert len(own) <= most_own, f"{len(own)} modules: {' '.join(own)}"


def imported_modules(lines: Sequence[str]) -> list[str]:
    """The modules that `-X importtime` names, in its order."""
    return [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
