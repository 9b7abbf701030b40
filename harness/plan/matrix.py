"""From what a suite asks for and what the configuration offers to scenarios, and from scenarios to a plan."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Arm, Mode, Scenario, Traffic, Utterance
from harness.plan.arm_spec import CURRENT, parse_arm_spec
from harness.plan.arms import SHARED
from harness.plan.corpus import TEXT_CLASSES, Corpus

CONCURRENT_TEXTS = 1_000
"""Different texts of a class that a crowd may ask for before the first comes again."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRequest:
    """What one test of a suite asks for: a mode, text classes, and the markers that put it into a selection.

    `variant` None goes through a class's variants. `changes` are what the arms are measured with, each written as a
    side of a duel; none means as they are. `recipes` are the quantised variants beside the original, None for those of
    the selection. `concurrencies` are how many texts are asked for at once, in a `stampede` all the same one; `traffic`
    are the loads instead of it: of a server, whose texts then change with each request. `repeats` is how many a block
    speaks one after the other.
    """

    mode: Mode
    texts: tuple[str, ...] = ()
    speeds: tuple[float, ...] = (1.0,)
    variant: int | None = 0
    changes: tuple[str, ...] = ()
    recipes: tuple[str, ...] | None = None
    concurrencies: tuple[int, ...] = (1,)
    traffic: tuple[Traffic, ...] = ()
    repeats: int = 1
    stampede: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPolicy:
    """How time is divided between launches and blocks, and between the arms of a block.

    `launching` is the share of the budget that launches may take, with their warm-ups: where it has no room for all,
    fewer are made, and no more than leave `fewest_blocks` to each. `needed_launches` are made whatever the budget: with
    one launch a process cannot be told from a change. `slice_s` is how long each of two arms works at most before it
    is the other's turn, in seconds; with 0 they speak one after the other, and `whole` says why where slices are asked
    for. `otherwise` is taken where arms turn out to be unfit for slices, with as many `launches`.
    """

    launching: float = 1.0
    fewest_blocks: int = 1
    needed_launches: int = 2
    slice_s: float = 0.0
    whole: str = ""
    launches: int | None = None
    """None: as many as the pace says."""
    otherwise: "LaunchPolicy | None" = None


ALL_LAUNCHES = LaunchPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How long and how often: the budget of time, launches, blocks and warm-ups, time-outs, and the seed.

    `memory` is what workers may hold at once, in bytes; None sets no bound.
    """

    budget_s: float
    launches: int
    blocks: int
    warmups: int
    timeout_s: float
    seed: int
    launch_policy: LaunchPolicy = ALL_LAUNCHES
    memory: int | None = None

    def timeout_for(self, characters: int) -> float:
        """Seconds after which an answer to a text of so many characters is given up."""
        return self.timeout_s + 0.25 * characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that the conductor needs to know of what to measure."""

    scenarios: tuple[Scenario, ...]
    utterances: Mapping[str, tuple[Utterance, ...]]
    run_limits: RunLimits
    corpus_digest: str
    selection: str = ""
    script: Mapping[str, str] = field(default_factory=dict)
    crowds: Mapping[str, tuple[Utterance, ...]] = field(default_factory=dict)
    """Text class → the texts of which crowds ask for many."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Every arm once, in the order of the scenarios."""
        return tuple(dict.fromkeys(scenario.arm for scenario in self.scenarios))

    def shuffled(self, things: Iterable[Thing], what: str, number: int) -> list[Thing]:
        """In an order that the seed decides, and nothing that was drawn before."""
        shuffled = list(things)
        random.Random(f"{self.run_limits.seed}/{what}/{number}").shuffle(shuffled)  # noqa: S311 - an order, no secret
        return shuffled

    def turned(self, things: Iterable[Thing], what: str, number: int) -> list[Thing]:
        """`shuffled`, but every second order is the one before turned round: what a place does cancels out."""
        order = self.shuffled(things, what, number - number % 2)
        return order[::-1] if number % 2 else order

    def utterance(self, scenario: Scenario, round_number: int, *, turn: int = 0) -> Utterance:
        """The text of a scenario in a round of blocks; `turn` counts where a block speaks several."""
        texts = self.utterances[scenario.text_class]
        if scenario.variant is not None:
            return texts[scenario.variant]
        return texts[(round_number * scenario.repeats + turn + self._ahead(scenario, len(texts))) % len(texts)]

    def concurrent_texts(self, scenario: Scenario, block: int) -> tuple[Utterance, ...]:
        """The texts of a scenario that asks for many: so many of the class at once, or all of it for a load.

        Those of one block lie behind one another, and so do blocks, so that no text comes twice before all have come.
        """
        texts = self.crowds[scenario.text_class]
        together = [each for each in self.scenarios if each.is_concurrent and _answered_together(each, scenario)]
        before = together[: together.index(scenario)]
        if scenario.traffic is not None:
            first = (
                (block * len(together) + len(before)) * len(texts) // (len(together) * max(1, self.run_limits.blocks))
            )
            wanted = len(texts)
        else:
            first = block * sum(map(_different, together)) + sum(map(_different, before))
            if scenario.stampede:
                return (texts[first % len(texts)],) * scenario.concurrency
            wanted = scenario.concurrency
        return tuple(texts[(first + number) % len(texts)] for number in range(wanted))

    def _ahead(self, scenario: Scenario, texts: int) -> int:
        """How many texts a scenario over HTTP is ahead of the first of its class.

        What one asks for, another must not find in the server's cache a moment later. In process nothing is kept, and
        texts that are alike make pairs.
        """
        if scenario.mode is not Mode.ENDPOINT:
            return 0
        alike = [
            each.id
            for each in self.scenarios
            if each.mode is scenario.mode and each.text_class == scenario.text_class and each.variant is None
        ]
        return alike.index(scenario.id) * texts // len(alike)


def _different(scenario: Scenario) -> int:
    """How many texts a block of a crowd asks for."""
    return 1 if scenario.stampede else scenario.concurrency


def _answered_together(one: Scenario, other: Scenario) -> bool:
    """Whether what one asks for, the other could find kept: arms over HTTP may be one server, others are processes."""
    return one.text_class == other.text_class and (one.arm == other.arm or bool(one.arm.url and other.arm.url))


def expand(
    request: ScenarioRequest,
    *,
    arms: Sequence[Arm],
    voice: str,
    language: str = "",
    texts: Sequence[str] = (),
    own: Utterance | None = None,
) -> tuple[Scenario, ...]:
    """Every scenario of a wish: arms × changes × texts × speeds. What the user gives replaces the wish's own texts.

    `texts` are classes of the corpus, `own` is a text of the user's own, `language` the one that the user has chosen.
    """
    arms = [parse_arm_spec(change, base=arm, models=()) for arm in arms for change in request.changes or CURRENT[:1]]
    if request.mode.is_load:
        return tuple(
            Scenario(arm=arm, mode=request.mode, text_class="", voice=voice, language=language) for arm in arms
        )
    for name in texts:
        if name not in TEXT_CLASSES:
            raise UsageError(f"unknown text class {name!r}", where="--text", remedy=nearest(name, list(TEXT_CLASSES)))
    classes = (*texts, own.text_class) if own else tuple(texts) or request.texts
    return tuple(
        Scenario(
            arm=arm,
            mode=request.mode,
            text_class=name,
            voice=voice,
            language=language,
            speed=speed,
            variant=None if traffic or concurrency > 1 else request.variant,
            concurrency=concurrency,
            traffic=traffic,
            repeats=request.repeats,
            stampede=request.stampede,
        )
        for arm in arms
        for name in classes
        for speed in request.speeds
        for concurrency in request.concurrencies
        if concurrency == 1 or request.mode is Mode.ENDPOINT or arm.engine in SHARED
        for traffic in request.traffic or (None,)
    )


def make_plan(
    scenarios: Iterable[Scenario],
    *,
    corpus: Corpus,
    run_limits: RunLimits,
    own: Utterance | None = None,
    selection: str = "",
    script: Mapping[str, str] | None = None,
) -> Plan:
    """A plan of the distinct scenarios, with the texts that they speak: the corpus's, and the user's `own`."""
    distinct = tuple(dict.fromkeys(scenarios))
    if not distinct:
        raise UsageError(
            "nothing to measure", where=selection, remedy="pytest suites --collect-only shows what there is"
        )
    classes = {scenario.text_class for scenario in distinct if not scenario.mode.is_load}
    own_texts = {own.text_class: (own,)} if own else {}
    crowded = {scenario.text_class for scenario in distinct if scenario.is_concurrent}
    return Plan(
        scenarios=distinct,
        utterances={name: own_texts.get(name) or corpus.variants(name) for name in sorted(classes)},
        run_limits=run_limits,
        corpus_digest=corpus.digest,
        selection=selection,
        script=dict(script or {}),
        crowds={name: own_texts.get(name) or corpus.at_most(name, CONCURRENT_TEXTS) for name in sorted(crowded)},
    )
