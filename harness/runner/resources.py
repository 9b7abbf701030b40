"""The resources of a run: clock, workers, models, machine. Either all real, or all scripted."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.speech_facts import Weights, unknown_weights
from harness.analysis.speech_rule import Answer
from harness.core.clock import Clock, ScriptedClock, SystemClock
from harness.core.errors import BenchError, ModelError, PackageError, RuntimeBuildError, UsageError, nearest
from harness.core.records.environment import SCRIPTED_KEY, Conditions, Machine, Subject
from harness.core.records.scenario import DEQUANTISED, Arm, ModelVariant
from harness.core.records.speech import SpeechKind
from harness.engines.declarations import declaration_of
from harness.engines.pooled.engine_settings import plan_of
from harness.engines.pooled.windows.halves import halves_of
from harness.engines.registry import own_options
from harness.engines.speech import EngineRefusal
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.runtimes.build import declared, find_runtime
from harness.measure.worker.handle import ProcessHandle
from harness.measure.worker.place import HERE
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.models.naming import derivations, label_of, split_label
from harness.plan.config import Config
from harness.plan.labels import labels
from harness.runner.arm_sources import WorkerPlaces
from harness.runner.default_models import replica_note
from harness.runner.started_servers import StartedServers

if TYPE_CHECKING:
    from harness.models.files import ModelFiles

Reporter = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a run uses from outside. `resolve` adds the digest to an arm's model and builds the model if needed."""

    clock: Clock
    worker_factory: WorkerFactory
    machine: Machine
    observe: Callable[[], Conditions]
    subject: Callable[[Sequence[Arm]], Subject]
    resolve: Callable[[Arm], Arm]
    pid: int
    boot: str
    memory_for_workers: Callable[[], int | None] = lambda: None
    """Bytes that all workers together may use now; None if there is no limit or if it is unknown."""
    voices: Callable[[Arm], Sequence[str] | None] = lambda _arm: None
    """The usable voices of an arm's voices file; None for an arm without one."""
    weights: Weights = unknown_weights
    """What is wrong with the weights of a model, held against its original's."""
    notes: Callable[[], Sequence[str]] = tuple
    """Sentences for the run about unusual files and packages."""


def resolve_all(resources: Resources, arms: Sequence[Arm]) -> tuple[Mapping[Arm, Arm], Mapping[str, str]]:
    """Arm → resolved arm, and arm id → reason for the arms that could not be resolved. The run goes on without those.

    An unknown name or a missing file raises its error at once. If no arm is left, the first error is raised.
    """
    resolved: dict[Arm, Arm] = {}
    refusals: dict[str, str] = {}
    first: BenchError | None = None
    for arm in dict.fromkeys(arms):
        resolved[arm] = arm
        try:
            resolved[arm] = resources.resolve(arm)
        except (ModelError, RuntimeBuildError) as error:
            forgiven = isinstance(error, PackageError) or (arm.model and derivations(arm.model.name))
            if isinstance(error, ModelError) and not forgiven:
                raise
            first = first or error
            refusals[arm.id] = str(error)
    if first is not None and len(refusals) == len(resolved):
        raise first
    return resolved, refusals


def model_names(config: Config) -> tuple[str, ...]:
    """The names of all models of the configured engine."""
    if declaration_of(config["engine"]).is_scripted:
        from harness.engines.scripted import SCRIPTED_MODELS

        return tuple(SCRIPTED_MODELS)
    from harness.plan.model_catalogue import model_catalogue

    return model_catalogue().names()


def prepare_resources(config: Config, *, report: Reporter) -> Resources:
    """The resources of the configured engine."""
    return _scripted() if declaration_of(config["engine"]).is_scripted else _real(config, report)


@dataclass(kw_only=True)
class ArtifactResolver:
    """Provides the model files, environments and revisions that arms name. Each is fetched or built once."""

    config: Config
    report: Reporter
    _files: "dict[str, ModelFiles]" = field(default_factory=dict)
    _notes: dict[str, None] = field(default_factory=dict)
    _servers: StartedServers = field(init=False)

    def __post_init__(self) -> None:
        self._servers = StartedServers(config=self.config, report=self.report)

    @cached_property
    def places(self) -> WorkerPlaces:
        """The interpreters and checkouts of arms."""
        return WorkerPlaces(directory=self.config.directory, report=self.report)

    def files(self, name: str) -> "ModelFiles":
        """Model and voices for a name of the catalogue, the path of a file, or the label of a configured file."""
        wanted = self._wanted(name)
        if wanted not in self._files:
            from harness.models.voices import check_voice, voice_or_first
            from harness.plan.model_catalogue import model_catalogue

            voices = Path(self.config["voices"]) if self.config["voices"] else None
            catalogue = model_catalogue()
            found = catalogue.resolve(wanted, voices=voices, report=self.report)
            for voice in self.config.voices:
                default = self.config.origins["voice"] == "default"
                spoken = voice_or_first(found.voices_path, voice) if default else voice
                self._notes |= dict.fromkeys(check_voice(found.voices_path, spoken))
            self._files[wanted] = found
        return self._files[wanted]

    def _wanted(self, name: str) -> str:
        return split_label(self._given.get(name, name))[1]

    @cached_property
    def _given(self) -> Mapping[str, str]:
        """Label → the model as it was configured."""
        return {label: each for each, label in labels(self.config["model"]).items()}

    def resolve(self, arm: Arm) -> Arm:
        """The arm with its model's digest. Also builds its environment and checks out its revision."""
        if arm.runtime.name != "current" and not arm.runtime.requirements:
            known = declared(self.config.tables, root=self.config.root)
            arm = replace(arm, runtime=find_runtime(arm.runtime.name, known))
        self.places.of(arm)
        if arm.server:
            self._servers.prepare(arm)
        if arm.model is None:
            return arm
        label = arm.model.name if arm.model.name in self._given else label_of(arm.model.name)
        if "window" in own_options(arm.engine):
            # Not in the first launch, whose load time it would be. The launch says why a model cannot be cut.
            with suppress(EngineRefusal):
                if plan_of(dict(arm.session_options)).window:
                    files = self.files(arm.model.name)
                    halves_of(files.model_path, files.variant.sha256)
        return replace(arm, model=replace(self.files(arm.model.name).variant, name=label))

    def voices(self, arm: Arm) -> Sequence[str] | None:
        """The usable voices of the arm's voices file, sorted; None where the arm has none, or could not be resolved."""
        from harness.models.voices import read_voices

        found = self._files.get(self._wanted(arm.model.name)) if arm.model else None
        return read_voices(found.voices_path) if found else None

    def weights(self, model: ModelVariant, original: ModelVariant) -> Answer | None:
        """What is wrong with a model's weights: lost ones break it, changed ones make it different. None for nothing.

        Files that cannot be compared are noted.
        """
        from harness.models.weight_check import known_weights
        from harness.plan.model_catalogue import model_catalogue

        try:
            found = known_weights(
                self.files(model.name), self.files(original.name), model_catalogue().cache.root / "weights"
            )
        except ModelError as error:
            self._notes[f"weights: {model.name}: {error}"] = None
            return None
        kind = SpeechKind.BROKEN if found.lost else SpeechKind.DIFFERENT
        return Answer(kind=kind, reason=f"its weights are not its original's: {found.text}") if found.text else None

    def notes(self) -> Sequence[str]:
        """Notes on unusual voices and on this environment, without repetition."""
        from harness.engines.builds import overwriting_note
        from harness.engines.installed import unknown_providers

        here = bool(self._files) and self.places.some_here
        environment = (overwriting_note() if here else "", unknown_providers())
        return (
            *replica_note(self.config, self._files),
            *self._notes,
            *self._servers.notes(),
            *(note for note in environment if note),
        )

    def arm_files(self, arm: Arm) -> ArmFiles:
        """The paths of model and voices for a worker of the arm, and the server that it starts."""
        if arm.server:
            return ArmFiles(server=self._servers.order(arm))
        if arm.model is None:
            return ArmFiles()
        found = self.files(arm.model.name)
        logs = self._servers.log_folder() if declaration_of(arm.engine).server else ""
        return ArmFiles(model_path=str(found.model_path), voices_path=str(found.voices_path), logs=logs)


def _real(config: Config, report: Reporter) -> Resources:
    from harness.measure.system import conditions, machine, subject
    from harness.measure.system.free_memory import memory_for_workers

    clock = SystemClock()
    artifacts = ArtifactResolver(config=config, report=report)

    def find_subject(arms: Sequence[Arm]) -> Subject:
        models = tuple(sorted({(arm.model.name, arm.model.sha256) for arm in arms if arm.model and arm.model.sha256}))
        return subject.subject(models=models, root=config.root, baselines=config.baselines)

    return Resources(
        clock=clock,
        worker_factory=WorkerFactory(start=ProcessHandle, place=artifacts.places.of, files=artifacts.arm_files),
        machine=machine.identify(),
        observe=lambda: conditions.observe(clock.wall()),
        subject=find_subject,
        resolve=artifacts.resolve,
        pid=os.getpid(),
        boot=machine.boot_id(),
        memory_for_workers=memory_for_workers,
        voices=artifacts.voices,
        weights=artifacts.weights,
        notes=artifacts.notes,
    )


SCRIPTED_MACHINE = Machine(
    key="scripted",
    system="scripted",
    architecture="scripted",
    cpu="scripted",
    logical_cpus=1,
    physical_cpus=1,
    memory=1 << 30,
)


def _scripted() -> Resources:
    import hashlib

    from harness.engines.scripted import SCRIPTED_MODELS, SCRIPTED_PARENTS
    from harness.measure.system.machine import boot_id

    clock = ScriptedClock()

    def resolve(arm: Arm) -> Arm:
        if arm.model is None:
            return arm
        name = arm.model.name
        if name not in SCRIPTED_MODELS:
            remedy = nearest(name, list(SCRIPTED_MODELS))
            raise UsageError(f"the scripted engine has no model {name!r}", where="--model", remedy=remedy)
        digest = hashlib.sha256(name.encode()).hexdigest()
        parent = SCRIPTED_PARENTS.get(name, "")
        variant = ModelVariant(
            name=name,
            sha256=digest,
            size=round((100 << 20) * SCRIPTED_MODELS[name]),
            origin=_scripted_origin(name),
            parent=hashlib.sha256(parent.encode()).hexdigest() if parent else "",
        )
        return replace(arm, model=variant)

    return Resources(
        clock=clock,
        worker_factory=WorkerFactory(
            start=lambda _place: ScriptedHandle(clock), place=lambda _arm: HERE, files=lambda _arm: ArmFiles()
        ),
        machine=SCRIPTED_MACHINE,
        observe=lambda: Conditions(taken_at=clock.wall()),
        subject=lambda arms: Subject(
            models=tuple(sorted({(arm.model.name, arm.model.sha256) for arm in arms if arm.model}))
        ),
        resolve=resolve,
        pid=os.getpid(),
        boot=boot_id(),
    )


def _scripted_origin(name: str) -> str:
    from harness.engines.scripted import SCRIPTED_DEQUANTISED, SCRIPTED_PARENTS

    if name in SCRIPTED_DEQUANTISED:
        return DEQUANTISED
    return "scripted" if name in SCRIPTED_PARENTS else "user"


def machine_key(config: Config) -> str:
    """The key under which the store keeps runs of this machine, or scripted runs."""
    if declaration_of(config["engine"]).is_scripted:
        return SCRIPTED_KEY
    from harness.measure.system.machine import identify

    return identify().key
