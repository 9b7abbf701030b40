"""Models that the tools in a child process make from another: their keys, and how they enter the cache."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.records.scenario import ModelVariant
from harness.models.cache import MODEL, Cache, Plan
from harness.models.files import ModelFiles, Report
from harness.models.jobs import Job, Speak, make_with_tools, texts_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How a model is made from its parent.

    `job` is given the path of the result, in a working folder, and returns the job that writes it; the model has to
    speak afterwards. `doing` and `done` are what is reported before and after; in `done`, a fact of the job stands in
    braces. `what` and `remedy` are for the error of tools that fail, and `tools` are their versions. `room` is the
    required disk space as a multiple of the parent's size. `keeps_facts`: the manifest gets the facts of the job.
    """

    name: str
    key: str
    origin: str
    recipe: str
    tools: Mapping[str, str]
    room: int
    job: Callable[[Path], Job]
    doing: str
    done: str
    what: str
    remedy: str
    target: str = MODEL
    keeps_facts: bool = True


def derived_key(name: str, fields: Mapping[str, object]) -> str:
    """A model's key in the cache: its name, and a digest of `fields`, on which its bytes depend."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return f"{name}-{digest[:16]}"


def make_derived(parent: ModelFiles, making: Making, *, cache: Cache, report: Report) -> ModelFiles:
    """The model from the cache or newly made. Raises ModelError if the tools fail, or if the result does not speak."""
    plan = Plan(
        key=making.key,
        variant=ModelVariant(
            name=making.name, sha256="", size=0, origin=making.origin, recipe=making.recipe,
            parent=parent.variant.sha256,
        ),
        voices=parent.voices_path,
        needed=parent.variant.size * making.room,
        made_with=dict(making.tools),
    )  # fmt: skip

    def build(work: Path) -> Mapping[str, str]:
        report(making.doing)
        target = work / making.target
        job = replace(making.job(target), speak=Speak(model=str(target), voices=str(parent.voices_path)))
        answer = make_with_tools(job, work, what=making.what, tools=making.tools, remedy=making.remedy)
        report(f"made {making.name} in {answer.facts['took_s']:.1f} s: {making.done.format_map(answer.facts)}")
        return texts_of(answer) if making.keeps_facts else {}

    files = cache.make(plan, build, report)
    # The cached model may have been made with another copy of the voices.
    variant = replace(files.variant, voices_sha256=parent.variant.voices_sha256)
    return replace(files, variant=variant, voices_path=parent.voices_path)
