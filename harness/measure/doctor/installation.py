"""Finds out in a child process what an interpreter can load, because a wheel may crash at import."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PROBE = r"""
import atexit, gc, json, os, sys
from importlib import metadata

gc.disable()
done = []
atexit.register(lambda: done and os._exit(0))

def part(name, load):
    try:
        found = {"facts": load()}
    except BaseException as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    print("probe " + json.dumps({"part": name} | found), flush=True)

def packages():
    versions = {}
    for name in sys.argv[1:]:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return versions

def sharing():
    found = {"onnxruntime": set(), "phonemizer": set()}
    for package in metadata.distributions():
        declared = (package.read_text("top_level.txt") or "").split()
        files = "" if declared else "\n" + (package.read_text("RECORD") or "")
        for name, packages in found.items():
            if name in declared or f"\n{name}/" in files:
                packages.add(package.metadata["Name"])
    return {name: sorted(packages) for name, packages in found.items()}

def runtime():
    import onnxruntime
    return {"version": onnxruntime.__version__, "providers": onnxruntime.get_available_providers()}

def kokoro():
    import kokoro_onnx
    return {"version": metadata.version("kokoro-onnx")}

def espeak():
    from kokoro_onnx.tokenizer import Tokenizer
    return {"phonemes": Tokenizer().phonemize("Hello there.")}

for name, load in (("packages", packages), ("sharing", sharing), ("onnxruntime", runtime),
                   ("kokoro-onnx", kokoro), ("espeak-ng", espeak)):
    part(name, load)
done.append(True)
"""
"""Prints a line per part as soon as it is done. After a crash the first missing part shows the cause.

Once all parts are tried, the process ends without taking apart what it has loaded. What is registered first for the end
is called last, so phonemizer has removed its copy of espeak-ng by then.

`sharing` is `metadata.packages_distributions` for two packages. That reads the metadata and the files of all packages,
which takes longer than to load everything here.
"""

PARTS = ("packages", "sharing", "onnxruntime", "kokoro-onnx", "espeak-ng")
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installation of one interpreter. An error is "" if the part loads.

    `packages` are (name, version); `sharing` are (import name, distributions that bring it): more than one distribution
    means that the later one has overwritten the earlier one's files.
    """

    packages: tuple[tuple[str, str], ...] = ()
    sharing: tuple[tuple[str, tuple[str, ...]], ...] = ()
    runtime_version: str = ""
    providers: tuple[str, ...] = ()
    runtime_error: str = ""
    kokoro_error: str = ""
    espeak_error: str = ""
    phonemes: str = ""
    """Phonemes of "Hello there.". No phonemes are as bad as an error."""


@contextmanager
def probing(python: str, packages: tuple[str, ...]) -> Iterator[Callable[[], Installation]]:
    """Load all parts in a child process of the interpreter `python`, beside what the caller does.

    The function waits for the child, about half a second, and returns what it found. An exception ends the child.
    """
    # -P excludes the current folder, which may contain a folder named onnxruntime.
    command = (python, "-P", "-c", PROBE, *packages)
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    except OSError as error:
        ending = f"the interpreter {python} cannot be started ({error.strerror})"
        yield lambda: parse_probe("", ending=ending)
        return
    with child:
        try:
            yield lambda: _found(child)
        finally:
            child.kill()  # does nothing to a child that has ended


def _found(child: "subprocess.Popen[str]") -> Installation:
    try:
        output, errors = child.communicate(timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as expired:
        return parse_probe(_text(expired.stdout), ending=f"did not finish within {_TIMEOUT_S:.0f} s")
    return parse_probe(output, ending=_ending(child.returncode, errors))


def _text(output: bytes | str | None) -> str:
    """The output of a child that timed out: bytes on some platforms even in text mode."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _ending(code: int, stderr: str) -> str:
    last = stderr.strip().splitlines()[-1:] or [""]
    return f"the interpreter ended with code {code} while loading it: {last[0]}".rstrip(": ")


def parse_probe(output: str, *, ending: str) -> Installation:
    """Parse the probe's lines. `ending` says how the child ended, and is the error of the first missing part."""
    lines = [json.loads(line.removeprefix("probe ")) for line in output.splitlines() if line.startswith("probe ")]
    by_part = {line["part"]: line for line in lines}
    facts = {name: line.get("facts", {}) for name, line in by_part.items()}
    errors = {name: line.get("error", "") for name, line in by_part.items()}
    missing = [name for name in PARTS if name not in by_part]
    for name in missing:
        errors[name] = ending if name == missing[0] else f"not tried: {missing[0]} came first and failed ({ending})"
    runtime = facts.get("onnxruntime", {})
    return Installation(
        packages=tuple(sorted(facts.get("packages", {}).items())),
        sharing=tuple((name, tuple(brought)) for name, brought in sorted(facts.get("sharing", {}).items())),
        runtime_version=runtime.get("version", ""),
        providers=tuple(runtime.get("providers", ())),
        runtime_error=errors["onnxruntime"],
        kokoro_error=errors["kokoro-onnx"],
        espeak_error=errors["espeak-ng"],
        phonemes=facts.get("espeak-ng", {}).get("phonemes", ""),
    )
