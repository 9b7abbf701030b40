"""Expand a suite's scenario requests and the configuration into scenarios, and scenarios into a plan."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Arm, Mode, Scenario, Traffic, Utterance
from harness.engines.declarations import declaration_of
from harness.plan.arm_spec import CURRENT, parse_arm_spec
from harness.plan.corpus import TEXT_CLASSES, Corpus, text_key, text_language

CONCURRENT_TEXTS = 1_000
"""The maximum number of different texts of a class for concurrent requests, before the first is repeated."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRequest:
    """What one test of a suite measures: a mode, text classes, and the markers that put it into a selection.

    `variant` None cycles through a class's variants. `changes` are arm specifications to measure the arms with; empty
    means unchanged. `recipes` are the quantised variants besides the original; None means those of the selection.
    `concurrencies` are numbers of concurrent requests; in a `stampede` they all have the same text. `traffic` are loads
    on a server instead, whose text changes with each request. `repeats` is the number of sequential requests per block.
    `voices` are measured instead of the configured voice.
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
    voices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPolicy:
    """How time is divided between launches and blocks, and between the arms of a block.

    `launching` is the share of the budget for launches with their warm-ups. If it is too small for all launches, fewer
    are made, and each keeps at least `fewest_blocks` blocks. `needed_launches` are made in any case: with one launch,
    the difference of a process looks like a change. `slice_s` is the maximum duration of a slice in seconds before the
    other arm continues; with 0 the arms run one after the other. `whole` says why requested slices are not used.
    `otherwise` is the policy for arms that turn out to be unfit for slices, with as many `launches`.
    """

    launching: float = 1.0
    fewest_blocks: int = 1
    needed_launches: int = 2
    slice_s: float = 0.0
    whole: str = ""
    launches: int | None = None
    """None: as many as the run limits say."""
    otherwise: "LaunchPolicy | None" = None
    by_cost: bool = False
    """Whether expensive scenarios are in fewer blocks than cheap ones, if the budget has no time for all blocks."""


ALL_LAUNCHES = LaunchPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """The limits of a run: time budget (s), launches, blocks, warm-ups, time-out (s) and the seed.

    `memory` is the maximum total memory of workers in bytes; None sets no limit. If `whole_s` is given, `budget_s` is
    the share of that budget (s) which the run's own values have.
    """

    budget_s: float
    launches: int
    blocks: int
    warmups: int
    timeout_s: float
    seed: int
    launch_policy: LaunchPolicy = ALL_LAUNCHES
    memory: int | None = None
    whole_s: float | None = None

    @property
    def spent(self) -> str:
        """That the time is up, as a sentence without a full stop."""
        if self.whole_s is None:
            return f"the budget of {self.budget_s:g} s was spent"
        return f"the run's own values had {self.budget_s:g} of the budget's {self.whole_s:g} s, which were spent"

    def timeout_for(self, characters: int) -> float:
        """The time-out (s) for a text of this many characters."""
        return self.timeout_s + 0.25 * characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The complete description of what the conductor measures. The keys of texts are those of `text_key`."""

    scenarios: tuple[Scenario, ...]
    utterances: Mapping[str, tuple[Utterance, ...]]
    run_limits: RunLimits
    corpus_digest: str
    """Digest of the corpus in en-us."""
    selection: str = ""
    script: Mapping[str, str] = field(default_factory=dict)
    concurrent_pool: Mapping[str, tuple[Utterance, ...]] = field(default_factory=dict)
    """The texts for concurrent requests."""
    corpora: tuple[tuple[str, str], ...] = ()
    """Tag and digest of each other corpus that the texts are from, sorted."""
    untried: tuple[tuple[str, str], ...] = ()
    """Candidates of a search that could not be made, each with the reason: the run stores them."""

    def texts_of(self, scenario: Scenario) -> tuple[Utterance, ...]:
        """All texts of a scenario's class, in its language."""
        return self.utterances[text_key(scenario)]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Every arm once, in the order of the scenarios."""
        return tuple(dict.fromkeys(scenario.arm for scenario in self.scenarios))

    def shuffled(self, things: Iterable[Thing], what: str, number: int) -> list[Thing]:
        """`things` in an order that depends only on the seed, `what` and `number`."""
        shuffled = list(things)
        random.Random(f"{self.run_limits.seed}/{what}/{number}").shuffle(shuffled)  # noqa: S311 - an order, no secret
        return shuffled

    def turned(self, things: Iterable[Thing], what: str, number: int) -> list[Thing]:
        """`shuffled`, but every second order reverses the one before, so that effects of position cancel out."""
        order = self.shuffled(things, what, number - number % 2)
        return order[::-1] if number % 2 else order

    def utterance(self, scenario: Scenario, round_number: int, *, turn: int = 0) -> Utterance:
        """The text of a scenario in a round of blocks; `turn` is the index within a block with several texts."""
        texts = self.texts_of(scenario)
        if scenario.variant is not None:
            return texts[scenario.variant]
        return texts[(round_number * scenario.repeats + turn + self._ahead(scenario, len(texts))) % len(texts)]

    def concurrent_texts(self, scenario: Scenario, block: int) -> tuple[Utterance, ...]:
        """The texts of a concurrent scenario in a block: one per concurrent request, or the whole class for a load.

        Blocks take consecutive texts of the class, so no text is repeated before all have been used.
        """
        texts = self.concurrent_pool[text_key(scenario)]
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
        """The offset of an HTTP scenario's texts relative to the first scenario of its class.

        It prevents a scenario from finding another one's texts in the server's cache. In-process engines cache nothing,
        so their scenarios use the same texts and form pairs. So do scenarios of different servers.
        """
        if scenario.mode is not Mode.ENDPOINT:
            return 0
        alike = [
            each.id
            for each in self.scenarios
            if each.mode is scenario.mode
            and text_key(each) == text_key(scenario)
            and each.variant is None
            and each.arm.url == scenario.arm.url
            and not (scenario.arm.server and each.arm != scenario.arm)
        ]
        return alike.index(scenario.id) * texts // len(alike)


def _different(scenario: Scenario) -> int:
    """The number of different texts that a block of concurrent requests uses."""
    return 1 if scenario.stampede else scenario.concurrency


def _answered_together(one: Scenario, other: Scenario) -> bool:
    """Whether two scenarios may share a cache: arms over HTTP may be one server, other arms are separate processes."""
    return text_key(one) == text_key(other) and (one.arm == other.arm or bool(one.arm.url and other.arm.url))


def expand(
    request: ScenarioRequest,
    *,
    arms: Sequence[Arm],
    voice: str,
    language: str = "",
    texts: Sequence[str] = (),
    own: Sequence[Utterance] = (),
) -> tuple[Scenario, ...]:
    """Every scenario of a request: arms × changes × texts × voices × speeds.

    `texts` are classes of the corpus, `own` are a user's own texts; both replace the request's texts. `language` is the
    user's language. Raises UsageError.
    """
    voices = request.voices or (voice,)
    arms = [parse_arm_spec(change, base=arm, models=()) for arm in arms for change in request.changes or CURRENT[:1]]
    if request.mode.is_start_up:
        return tuple(
            Scenario(arm=arm, mode=request.mode, text_class="", voice=voices[0], language=language) for arm in arms
        )
    for name in texts:
        if name not in TEXT_CLASSES:
            raise UsageError(f"unknown text class {name!r}", where="--text", remedy=nearest(name, list(TEXT_CLASSES)))
    classes = (*texts, *(each.text_class for each in own)) or request.texts
    return tuple(
        Scenario(
            arm=arm,
            mode=request.mode,
            text_class=name,
            voice=spoken,
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
        for spoken in voices
        for speed in request.speeds
        for concurrency in request.concurrencies
        if concurrency == 1 or request.mode is Mode.ENDPOINT or declaration_of(arm.engine).is_shared
        for traffic in request.traffic or (None,)
    )


def make_plan(
    scenarios: Iterable[Scenario],
    *,
    corpus: Corpus,
    run_limits: RunLimits,
    own: Sequence[Utterance] = (),
    selection: str = "",
    script: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of the distinct scenarios with their texts: the corpus's and the user's `own`. Raises UsageError."""
    distinct = tuple(dict.fromkeys(scenarios))
    if not distinct:
        raise UsageError(
            "nothing to measure", where=selection, remedy="pytest suites --collect-only shows what there is"
        )
    spoken = {text_key(scenario): scenario for scenario in distinct if not scenario.mode.is_start_up}
    concurrent = {text_key(scenario): scenario for scenario in distinct if scenario.is_concurrent}
    corpora = {language: corpus.in_language(language) for language in sorted(map(text_language, spoken.values()))}
    own_texts = {each.text_class: (each,) for each in own}
    return Plan(
        scenarios=distinct,
        utterances={
            key: own_texts.get(key) or corpora[text_language(each)].variants(each.text_class)
            for key, each in sorted(spoken.items())
        },
        run_limits=run_limits,
        corpus_digest=corpus.digest,
        selection=selection,
        script=dict(script or {}),
        concurrent_pool={
            key: own_texts.get(key) or corpora[text_language(each)].at_most(each.text_class, CONCURRENT_TEXTS)
            for key, each in sorted(concurrent.items())
        },
        corpora=tuple((language, each.digest) for language, each in corpora.items() if each is not corpus),
    )
