"""Runs the steps of a generated workflow here: their commands by bash, their actions by stand-ins that copy files."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml


def workflow(file: Path) -> dict[str, Any]:
    """A workflow file. YAML reads its key `on` as true."""
    found: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


@dataclass
class Runner:
    """What a runner of GitHub gives a job: folders, an environment, artifacts. `checkout` is the working directory."""

    checkout: Path
    root: Path
    environment: dict[str, str]
    github: dict[str, str] = field(default_factory=dict)
    log: str = ""
    failed: bool = False

    def __post_init__(self) -> None:
        self.temp = self.root / "temp"
        self.artifacts = self.root / "artifacts"
        self.summary = self.root / "step-summary.md"
        self.temp.mkdir(parents=True, exist_ok=True)
        self.artifacts.mkdir(exist_ok=True)

    def run(self, job: dict[str, Any]) -> bool:
        """Run a job as a runner does, and return whether it succeeded."""
        for step in job["steps"]:
            if self.failed and "!cancelled()" not in str(step.get("if", "")):
                continue
            ended = self._command(job, step) if "run" in step else self._action(step)
            if not ended and not step.get("continue-on-error"):
                self.failed = True
        return not self.failed

    def _command(self, job: dict[str, Any], step: dict[str, Any]) -> bool:
        given = {**job.get("env", {}), **step.get("env", {})}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=self.checkout,
            env={
                **os.environ,
                **self.environment,
                "RUNNER_TEMP": str(self.temp),
                "GITHUB_ACTIONS": "true",
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_OUTPUT": str(self.root / "output"),
                **{name: self._filled(str(value)) for name, value in given.items()},
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        self.log += f"## {step.get('name', '')}\n{done.stdout}"
        return done.returncode == 0

    def _action(self, step: dict[str, Any]) -> bool:
        """Uploads and downloads copy; checkouts, set-ups and caches have been made by the test."""
        if "-artifact@" not in step["uses"]:
            return True
        given = {name: self._filled(str(value)) for name, value in step["with"].items() if name in ("name", "path")}
        if step["uses"].startswith("actions/upload-artifact@"):
            for line in given["path"].splitlines():
                source = Path(line.strip())
                if source.is_dir():
                    shutil.copytree(source, self.artifacts / given["name"], dirs_exist_ok=True)
                elif source.is_file():
                    (self.artifacts / given["name"]).mkdir(exist_ok=True)
                    shutil.copy(source, self.artifacts / given["name"])
        if step["uses"].startswith("actions/download-artifact@"):
            shutil.copytree(self.artifacts / given["name"], given["path"], dirs_exist_ok=True)
        return True

    def _filled(self, text: str) -> str:
        """Text with its expressions replaced: only those that the test names, and the runner's folder."""
        known = {"runner.temp": str(self.temp), **self.github}
        return re.sub(r"\$\{\{ *([^}]+?) *\}\}", lambda found: known[found[1]], text)
