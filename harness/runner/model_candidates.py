"""The models of a search: made by the catalogue, or those of the scripted engine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis.advice.serve_command import splits_texts
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm
from harness.engines.declarations import declaration_of
from harness.engines.pooled.options import LEAST_SPLIT, SPLIT
from harness.plan.arm_spec import parse_arm_spec, with_model
from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.models.candidates import Candidate, Named
    from harness.models.catalogue import Catalogue

MODEL = "model="
NO_TIME = "the time for making models was spent"


@dataclass(kw_only=True)
class Models:
    """The models that a search tries in place of the base's."""

    config: Config
    base: Arm
    report: Callable[[str], None]

    def make(self, *, until: float) -> tuple[tuple[str, ...], dict[str, str]]:
        """The changes to the models that could be made, and model → why it could not.

        No model is begun after `until`, a time of `time.monotonic`.
        """
        if self._is_scripted:
            return tuple(self._scripted()), {}
        from harness.models.candidates import try_to_make

        made, skipped = [], {}
        for each in self._possible:
            if time.monotonic() > until:
                skipped[each.name] = NO_TIME
                continue
            if reason := try_to_make(each, self._catalogue, self._voices, self.report):
                self.report(f"{each.name} is not tried: {reason}")
                skipped[each.name] = reason
            else:
                made.append(f"{MODEL}{each.name}")
        return tuple(made), skipped

    def stored(self, data: RunData, changes: Sequence[str]) -> tuple[str, ...]:
        """The changes to the model that a stored first round had, without the other `changes`."""
        ids = {scenario.arm.id for scenario in data.run.scenarios}
        names = self._scripted() if self._is_scripted else [f"{MODEL}{each.name}" for each in self._possible]
        return tuple(
            each for each in names if each not in changes and parse_arm_spec(each, base=self.base, models=()).id in ids
        )

    def original_arms(self) -> tuple[Arm, ...]:
        """The arms of the base's 32-bit original, to judge speech by, without the base.

        One splits texts as the base does, and one as little as the engine can, if it splits them.
        """
        base = self.base
        if base.model is None:
            return ()
        name = self._scripted_original() if self._is_scripted else self._original.given
        is_base = name == (base.model.name if self._is_scripted else self._given.given)
        split = () if is_base else (tuple(each for each in base.session_options if each[0] in SPLIT),)
        least = (LEAST_SPLIT,) if splits_texts(base.engine) else ()
        plain = replace(base if is_base else with_model(base, name), threads=0, provider_options=())
        arms = [replace(plain, session_options=options) for options in dict.fromkeys((*split, *least))]
        return tuple(arm for arm in arms if arm.id != base.id)

    @property
    def _is_scripted(self) -> bool:
        return declaration_of(self.base.engine).is_scripted

    def _scripted(self) -> list[str]:
        from harness.engines.scripted import SCRIPTED_PARENTS

        ours = self.base.model.name if self.base.model else ""
        return [f"{MODEL}{name}" for name, parent in SCRIPTED_PARENTS.items() if ours and parent == ours]

    def _scripted_original(self) -> str:
        from harness.engines.scripted import SCRIPTED_PARENTS

        ours = self.base.model.name if self.base.model else ""
        return SCRIPTED_PARENTS.get(ours, "") or ours

    @cached_property
    def _catalogue(self) -> "Catalogue":
        from harness.plan.model_catalogue import model_catalogue

        return model_catalogue()

    @property
    def _voices(self) -> Path | None:
        return Path(self.config["voices"]) if self.config["voices"] else None

    @cached_property
    def _given(self) -> "Named":
        """The base's model as the user gave it."""
        given = next(iter(self.config["model"]), "") or (self.base.model.name if self.base.model else "")
        return self._named(given)

    @cached_property
    def _original(self) -> "Named":
        from harness.models.candidates import original_name

        return self._named(original_name(self._given.given, self._catalogue))

    def _named(self, given: str) -> "Named":
        from harness.models.candidates import Named
        from harness.models.naming import split_label

        files = self._catalogue.resolve(split_label(given)[1], voices=self._voices, report=self.report)
        return Named(given=split_label(given)[1], name=files.variant.name)

    @cached_property
    def _possible(self) -> "tuple[Candidate, ...]":
        from harness.models.candidates import candidates

        return candidates(self._given, self._original)
