"""Environments of other tools, made for a benchmark: their packages are none of the project's."""

import os
import subprocess
from pathlib import Path

import uv


def environment(directory: Path, requirement: str) -> Path:
    """An environment in `directory` with what `requirement` names; the folder of its commands.

    CalledProcessError, with uv's words on standard error, where that fails.
    """
    command = [uv.find_uv_bin(), "--quiet"]
    commands = directory / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([*command, "venv", str(directory)], check=True)
    subprocess.run([*command, "pip", "install", "--python", str(commands / "python"), requirement], check=True)
    return commands
