"""Builds environments of other tools for a benchmark, separate from the project's packages."""

import os
import subprocess
from pathlib import Path

import uv


def environment(directory: Path, requirement: str) -> Path:
    """Make an environment in `directory` with the package of `requirement`. Return the folder of its commands.

    Raises CalledProcessError if this fails. uv's messages go to standard error.
    """
    command = [uv.find_uv_bin(), "--quiet"]
    commands = directory / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([*command, "venv", str(directory)], check=True)
    subprocess.run([*command, "pip", "install", "--python", str(commands / "python"), requirement], check=True)
    return commands
