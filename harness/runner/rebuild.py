"""Rebuilds the accepted arm of a scenario: its packages, its model and its engine, as far as they differ from today's.

Whatever did not change is taken from the arm under test. What was restored is verified by what its worker reports.
"""

import os
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from harness.analysis.against_reference import listed_differences
from harness.core.cache_root import default_root
from harness.core.errors import BenchError, ModelError, RuntimeBuildError, UsageError
from harness.core.records.git_package import GitPackage
from harness.core.records.reference import LoadedSubject, ReferenceArm
from harness.core.records.scenario import Arm, ModelVariant, Runtime
from harness.engines.declarations import BUILT_IN, declaration_of
from harness.engines.scripted import SCRIPT
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.place import WorkerPlace
from harness.plan.config import Config
from harness.runner.arm_sources import COMMIT
from harness.runner.resources import Reporter

UNDER_TEST, ACCEPTED = "under-test", "accepted"
"""The sides of a replay, as they stand in the ids of its scenarios."""
CPYTHON = "CPython "


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredArm:
    """The accepted arm, with what its worker is started with. `note` says what of it is not as it was; "" usually."""

    arm: Arm
    place: WorkerPlace
    files: ArmFiles
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderTest:
    """An arm of the run with the subject that its worker reported."""

    arm: Arm
    subject: LoadedSubject


def rebuild(
    config: Config, under_test: UnderTest, accepted: ReferenceArm, factory: WorkerFactory, *, report: Reporter
) -> RestoredArm:
    """The accepted arm, built where needed. BenchError with the reason if something of it cannot be had any more."""
    was, now = accepted.subject, under_test.subject
    arm = replace(
        under_test.arm,
        side=ACCEPTED,
        provider=was.provider,
        threads=was.threads,
        provider_options=was.provider_options,
        session_options=was.session_options,
    )
    place, files, note = factory.place(under_test.arm), factory.files(under_test.arm), ""
    if declaration_of(under_test.arm.engine).is_scripted:
        return RestoredArm(arm=replace(arm, session_options=((SCRIPT, was.engine_version),)), place=place, files=files)
    if (was.packages, was.local_packages, was.interpreter) != (now.packages, now.local_packages, now.interpreter):
        arm, place, note = _with_packages(arm, place, accepted, now, config=config, report=report)
    # Packages bring the engines that are not built in, and the worker of the restored arm shows whether they did.
    brought = arm.engine not in BUILT_IN and not accepted.revision and place != factory.place(under_test.arm)
    if was.engine_source != now.engine_source and not brought:
        arm, place = _with_source(arm, place, accepted, config)
    if (was.model_sha256, was.voices_sha256) != (now.model_sha256, now.voices_sha256):
        arm, files = _with_model(arm, files, accepted, now, report=report)
    files = replace(files, logs=factory.files(under_test.arm).logs)
    return RestoredArm(arm=arm, place=place, files=files, note=note)


def refuse_another(found: LoadedSubject | None, accepted: ReferenceArm, *, note: str = "") -> None:
    """Raise UsageError if the worker of a restored arm did not load what was accepted, apart from what `note` says."""
    if found is None:
        raise UsageError("the restored worker does not report what it loaded", where=accepted.arm_id)
    wanted = replace(accepted.subject, interpreter=found.interpreter) if note else accepted.subject
    if differs := wanted.differences(found):
        ours = wanted.engine not in BUILT_IN and replace(wanted, engine_source=found.engine_source) == found
        why = " (modules of kokoro-bench that every worker loads changed since)" if ours else ""
        raise UsageError(f"restored, but it differs: {listed_differences(differs)}{why}", where=accepted.arm_id)


def _with_packages(
    arm: Arm, place: WorkerPlace, accepted: ReferenceArm, now: LoadedSubject, *, config: Config, report: Reporter
) -> tuple[Arm, WorkerPlace, str]:
    """An environment with the accepted packages and interpreter. `arm` still has the runtime of the arm under test.

    If the interpreter's patch version is not here and other things changed too, today's serves both sides.
    """
    from harness.measure.runtimes.build import Runtimes
    from harness.measure.runtimes.git_packages import find_package

    subject = accepted.subject
    commits = _commits(accepted)
    if not subject.interpreter.startswith(CPYTHON):
        raise UsageError(f"the interpreter {subject.interpreter or 'is not known'} cannot be installed", where="Python")
    found = {
        name: find_package(each, root=config.root, directory=config.directory, named=arm.runtime.requirements)
        for name, each in commits.items()
    }
    # What the harness itself needs in a worker is no part of what is under test.
    needed = {name: version(name) for name in ("numpy", "psutil")}
    pins = {name: f"{name}=={number}" for name, number in sorted({**needed, **dict(subject.packages)}.items())}
    pins |= {name: each.requirement for name, each in found.items()}
    pinned = list(pins.values())
    python = subject.interpreter.removeprefix(CPYTHON)
    python = "" if python == platform.python_version() else python
    name, note = f"the reference of {accepted.date[:10]}", ""
    runtimes = Runtimes(default_root())
    try:
        interpreter = runtimes.build_pinned(name, pinned, python=python, report=report)
    except RuntimeBuildError:
        alone = replace(subject, interpreter=now.interpreter) == now
        if not python or alone or python.rpartition(".")[0] != platform.python_version().rpartition(".")[0]:
            raise
        interpreter = runtimes.build_pinned(name, pinned, report=report)
        note = f"{subject.interpreter} is not here, so both sides ran with {now.interpreter}"
    runtime = Runtime(name=ACCEPTED, requirements=tuple(pins[name] for name, _ in subject.packages))
    source = next((each.description for each in found.values() if each.description), "")
    return replace(arm, runtime=runtime, source=source), replace(place, python=str(interpreter)), note


def _commits(accepted: ReferenceArm) -> dict[str, GitPackage]:
    """The packages whose version does not tell their content, by name. UsageError if no commit tells it either."""
    local = {name for name, _ in accepted.subject.local_packages}
    commits = {each.name: each for each in accepted.git_packages if each.name in local}
    if lost := sorted(local - set(commits)):
        raise UsageError(
            f"{', '.join(lost)} was installed from a folder or a file, which no index has", where="packages"
        )
    return commits


def _with_source(arm: Arm, place: WorkerPlace, accepted: ReferenceArm, config: Config) -> tuple[Arm, WorkerPlace]:
    from harness.measure.runtimes.revisions import UnknownRevision, checkout, harness_in

    if accepted.dirty:
        raise UsageError("the engine was accepted with uncommitted changes, which nobody else has", where="source")
    if not accepted.revision:
        came = f"kokoro-bench {accepted.harness_version}".strip()
        raise UsageError(f"the engine came with the package {came}, whose source is not here", where="source")
    try:
        folder = checkout(config.root, accepted.revision, cache=default_root())
        harness = harness_in(folder, accepted.revision[:COMMIT])
    except UnknownRevision as error:
        gone = f"commit {accepted.revision[:COMMIT]} is not in the repository here (rewritten, or a shallow clone)"
        raise UsageError(gone, where="source") from error
    return replace(arm, revision=accepted.revision[:COMMIT]), replace(place, harness=harness)


def _with_model(
    arm: Arm, files: ArmFiles, accepted: ReferenceArm, now: LoadedSubject, *, report: Reporter
) -> tuple[Arm, ArmFiles]:
    """The model by its digest: the one under test, or one in the cache, or else made or fetched by its name."""
    was = accepted.subject
    found = files
    if was.model_sha256 != now.model_sha256:
        found = _model(accepted, report=report)
    if was.voices_sha256 == now.voices_sha256:
        found = replace(found, voices_path=files.voices_path)
    elif was.voices_sha256:
        found = replace(found, voices_path=_voices(accepted, found.voices_path))
    variant = arm.model or ModelVariant(name=accepted.model_name, sha256="", size=0, origin="unresolved")
    return replace(arm, model=replace(variant, sha256=was.model_sha256, voices_sha256=was.voices_sha256)), found


def _model(accepted: ReferenceArm, *, report: Reporter) -> ArmFiles:
    from harness.models.default import OFFLINE_VARIABLE
    from harness.models.public import BY_NAME, BY_SHA256
    from harness.plan.model_catalogue import model_catalogue

    wanted, name = accepted.subject.model_sha256, accepted.model_name
    catalogue = model_catalogue()
    known = catalogue.cache.by_digest(wanted)
    if known is not None and not catalogue.cache.damage(known):
        files = catalogue.cache.files(known)
        return ArmFiles(model_path=str(files.model_path), voices_path=str(files.voices_path))
    public = BY_SHA256[wanted].name if wanted in BY_SHA256 else ""
    if public and not os.environ.get(OFFLINE_VARIABLE):
        files = catalogue.obtain(public, report=report)
    elif name in catalogue.names() and name not in BY_NAME:
        files = catalogue.resolve(name, report=report)
    else:
        raise ModelError(f"nobody here has the model {name} with the SHA-256 {wanted[:12]}…")
    if files.variant.sha256 != wanted:
        raise ModelError(
            f"{name} is made with the SHA-256 {files.variant.sha256[:12]}… here, and {wanted[:12]}… was accepted"
        )
    return ArmFiles(model_path=str(files.model_path), voices_path=str(files.voices_path))


def _voices(accepted: ReferenceArm, beside: str) -> str:
    """The voices file of the accepted digest: the one `beside` the model, or another one of the cache."""
    from harness.models.cache import Cache

    cache, wanted = Cache(), accepted.subject.voices_sha256
    for path in (Path(beside), *(cache.files(manifest).voices_path for manifest in cache.manifests())):
        if path.is_file() and cache.digests.of(path) == wanted:
            return str(path)
    raise ModelError(f"nobody here has the voices with the SHA-256 {wanted[:12]}…")


def with_own_bytecode(place: WorkerPlace) -> WorkerPlace:
    """A place whose worker keeps compiled modules in the cache, whatever the environment and its folders allow.

    Both sides of a replay use it: a side that compiles its modules at each start takes more memory and time for it.
    """
    kept = str(default_root() / "bytecode")
    return replace(
        place, environment=(*place.environment, ("PYTHONDONTWRITEBYTECODE", ""), ("PYTHONPYCACHEPREFIX", kept))
    )


def why_not(error: BenchError) -> str:
    """The reason why an arm cannot be restored, in one line."""
    return " ".join(f"{error.where}: {error.what}".removeprefix(": ").split())
