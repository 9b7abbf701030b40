"""One probe of a bisection: a place, good and bad in the same blocks, until the place is known or the time is up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.bisection.answer import Pairs, State, estimates_of
from harness.analysis.conclude import Conclusions, all_values, loss, summarise_all
from harness.analysis.finished import Finished
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.analysis.stats.comparison import Policy
from harness.analysis.stats.grouped import count
from harness.analysis.stats.paired import FEWEST_PAIRS
from harness.core.records.bisection import Probe
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Mode
from harness.metrics.derive import RunValues
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS
from harness.metrics.values import log_ratios_to_all, paired_log_ratios
from harness.plan.config import Config
from harness.plan.matrix import LaunchPolicy
from harness.runner.duel import DuelAnalysis, DuelArms, Terms, duel_scenarios
from harness.runner.duel_terms import both_terms, launches_known_here, why_whole, with_duel_defaults
from harness.runner.progress import measure_live
from harness.runner.run_analysis import RunAnalysis

TEXT = "chars-60"
FEWEST_LAUNCHES = 2
"""With one launch, the difference of a process looks like that of a version."""
ARMS = ("the probe", "good", "bad")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trio:
    """The arms of a probe."""

    probe: Arm
    good: Arm
    bad: Arm


def once_a_launch(metric: str) -> bool:
    """Whether a metric has one value for each launch, so that further blocks add nothing."""
    return bool(metric) and METRICS[metric].per is Per.LAUNCH


def mode_of(metric: str, *, streamed: bool) -> Mode:
    """How audio is requested to measure a metric: metrics of loading need start-ups."""
    if metric.startswith("load_") or metric == "rss_loaded":
        return Mode.LOAD_WARM
    return Mode.STREAM if streamed else Mode.WHOLE


def measure_probe(
    config: Config, trio: Trio, state: State, *, place: int, metric: str, mode: Mode, selection: str
) -> Finished:
    """Measure and store a probe within the budget of `config`; it may be interrupted.

    `state` is what the bisection knows so far; the probe ends when its place is known well enough.
    """
    unfit = _unfit(config, [trio.probe, trio.good, trio.bad])
    terms, otherwise = both_terms(config, launches_known_here(config), unfit=unfit)
    config = with_duel_defaults(config, budget_s=config["budget"], launches=terms.launches)
    ours, good = duel_scenarios(
        DuelArms(candidate=trio.probe, reference=trio.good),
        texts=config["text"] or (TEXT,),
        voice=config.one_voice("bisect"),
        language=config["language"],
        mode=mode,
    )
    analysis = ProbeAnalysis(state, place=place, metric=metric, terms=terms, otherwise=otherwise)
    return measure_live(
        config,
        (ours, good, replace(good, arm=trio.bad)),
        selection=selection,
        analysis=RunAnalysis(
            conclude=analysis.conclude,
            enough=analysis.enough,
            settled=analysis.settled,
            policy=terms.policy,
            needs_every_arm=True,
            launch_policy=_needed(terms.launch_policy) if once_a_launch(metric) else terms.launch_policy,
        ),
    )


def _needed(policy: LaunchPolicy) -> LaunchPolicy:
    """The policy with as many launches as an estimate needs, whatever they take: fewer would be of no use."""
    return replace(policy, needed_launches=FEWEST_PAIRS)


class ProbeAnalysis:
    """Analyses a probe after each block and at its end."""

    def __init__(self, state: State, *, place: int, metric: str, terms: Terms, otherwise: Terms) -> None:
        self._state = state
        self._place = place
        self._metric = metric
        self._terms = terms
        self._otherwise = otherwise

    def enough(self, data: RunData) -> str:
        """The reason to stop after the blocks so far, or "" to go on."""
        data = data.counted
        for which, reason in losses(data).items():
            return f"{which} was lost: {reason}"
        blocks = Counter(block.launch for block in data.blocks)
        least = FEWEST_PAIRS if once_a_launch(self._metric) else EARLIEST_BLOCKS
        if len(blocks) < FEWEST_LAUNCHES or blocks.total() < least:
            return ""
        return f"the place is known after {blocks.total()} blocks" if self.settled(data) else ""

    def settled(self, data: RunData) -> str:
        """The reason to end the current launch, or "" to go on: further blocks of it would hardly change anything."""
        data = data.counted
        ours = sum(block.launch == data.blocks[-1].launch for block in data.blocks) if data.blocks else 0
        if not once_a_launch(self._metric) and ours < FEWEST_PAIRS:
            return ""
        found = self._probe(RunValues(data))
        return "known but for another launch" if found is not None and self._state.is_certain(found) else ""

    def _probe(self, values: RunValues) -> Probe | None:
        policy = self._terms_of(values.data).policy
        return probe_of(values, place=self._place, metric=self._metric, policy=policy)

    def _terms_of(self, data: RunData) -> Terms:
        """The terms by which the counted blocks were measured."""
        return self._terms if data.in_slices or not data.blocks else self._otherwise

    def conclude(self, values: RunValues) -> Conclusions:
        """Summaries of the three arms. A probe has no verdict: the bisection decides by all of them."""
        data = values.data
        reasons = losses(data)
        lost = tuple(f"{which} was lost: {reason}" for which, reason in reasons.items())
        notes = (*DuelAnalysis.how_paired(data), *lost)
        found = None
        if not reasons:
            found = self._probe(values)
        if found is not None:
            from harness.analysis.messages import percent

            whole = f"{percent(found.whole.point)} of bad against good"
            ours = f"{self._metric} {percent(found.ratio.point)} against good"
            notes = (f"{ours}, {whole}, in the same {found.pairs} blocks", *notes)
        return Conclusions(summaries=summarise_all(data, all_values(values)), verdicts=(), targets=(), notes=notes)


def policy_for(config: Config, arms: Sequence[Arm], data: RunData) -> Policy:
    """The policy for the counted blocks of a stored run: that of slices, or of arms that ran one after the other."""
    terms, otherwise = both_terms(config, launches_known_here(config), unfit=_unfit(config, arms))
    return (terms if data.in_slices or not data.blocks else otherwise).policy


def _unfit(config: Config, arms: Sequence[Arm]) -> str:
    """Why the arms cannot run in slices, or ""."""
    reasons = (why_whole(DuelArms(candidate=arms[0], reference=other)) for other in arms[1:])
    return next(filter(None, reasons), "") if config["slice"] else ""


def losses(data: RunData) -> Mapping[str, str]:
    """Which arms were lost → why. The scenarios of a probe are those of the probe, of good and of bad."""
    found = {which: loss(scenario, data) for which, scenario in zip(ARMS, data.run.scenarios, strict=True)}
    return {which: reason for which, reason in found.items() if reason}


def probe_of(values: RunValues, *, place: int, metric: str, policy: Policy) -> Probe | None:
    """What a run shows of a place; None if it has too few blocks for an estimate. Raises MeasurementError."""
    data = values.data
    ours, good, bad = (values.of(scenario)[metric] for scenario in data.run.scenarios)
    if not (ours.n and good.n and bad.n):
        return None
    pairs = Pairs(
        ratio=paired_log_ratios(ours, good),
        centred=log_ratios_to_all(ours, (good, bad)),
        whole=paired_log_ratios(bad, good),
    )
    found = estimates_of(pairs, launch_inflation=policy.launch_inflation, launch_sd=policy.launch_sd)
    if found is None:
        return None
    ratio, centred, whole = found
    return Probe(
        place=place,
        run_id=data.run.id,
        ratio=ratio,
        centred=centred,
        whole=whole,
        pairs=count(pairs.centred),
        launches=len(pairs.centred),
        seconds=data.seconds,
    )
