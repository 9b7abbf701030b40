"""The search for the best model, options and threads: makes models, searches, judges the leaders, and proves the best.

Every part is a run in the store, so that a search that was killed goes on where it stopped.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.analysis.advice.drift import machine_change
from harness.analysis.advice.halving import budgets
from harness.analysis.advice.recommend import OBJECTIVES, quality_failures
from harness.analysis.advice.sound import Sound, sound_of
from harness.analysis.advice.stalls import stalled
from harness.analysis.finished import Finished
from harness.analysis.sequential import EARLIEST_BLOCKS
from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Arm, Mode
from harness.core.records.verdict import Verdict, VerdictKind
from harness.metrics.derive import RunValues, scenario_values
from harness.metrics.metric import Per
from harness.metrics.registry import METRICS
from harness.plan.config import Config, with_values
from harness.plan.corpus import TEXT_CLASSES
from harness.runner.model_candidates import Models
from harness.runner.search import Found, Search
from harness.runner.search_runs import SearchRuns, key_of

TEXT = "chars-60"
JUDGED_TEXTS = ("chars-60", "chars-200")
"""The texts whose speech is judged. Longer audio is not kept."""
UNSEEN_TEXTS = ("chars-200", "chars-500", "chars-60")
"""The first two that the search did not use are those of the final duel."""
JUDGED = 3
"""So many leaders are judged at once."""
MAKING = 0.25
"""Share of the budget in which models are made; those that are left then are not tried."""
COMMAND = "optimise"
MANY_LAUNCHES = 16
"""Launches of a final duel about memory, as far as the budget has time."""
JUDGING = 0.1
"""Share of the budget of a run whose speech is judged. Its first block is always measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for: the goal, the seconds for all of it, the changes besides the models.

    `any_quality`: whether an arm may win whose speech is broken or differs. `effect` is the smallest change that the
    final duel detects, as a ratio. `streamed`: whether audio is requested in chunks, as a server sends it.
    """

    goal: str
    budget_s: float
    changes: tuple[str, ...]
    effect: float
    any_quality: bool = False
    resumed: bool = False
    streamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that a search found. `winner` is "" if no candidate was better and fit to be recommended.

    `skipped`: candidate → why it was not tried. `sounds`: candidate → how its speech compares with its original's, for
    those that were judged. `unproven` says why there is no final duel, "" if there is one. `drift` is a sentence if the
    machine changed during the search.
    """

    wanted: Wanted
    search: Search
    found: Found
    key: str
    skipped: Mapping[str, str] = field(default_factory=dict)
    judged: tuple[RunData, ...] = ()
    sounds: Mapping[str, Sound] = field(default_factory=dict)
    winner: str = ""
    duel: Finished | None = None
    unproven: str = ""
    drift: str = ""

    @property
    def deciding(self) -> tuple[Verdict, ...]:
        """The verdicts of the final duel on the metric of the search; on `rtf` where sizes are compared."""
        metric = "rtf" if self.wanted.goal == "size" else self.search.metric
        return tuple(each for each in self.duel.data.verdicts if each.metric == metric) if self.duel else ()

    @property
    def proven(self) -> bool:
        """Whether the duel shows the winner to be better on a text, and on none to be worse or not to work."""
        kinds = [each.kind for each in self.deciding]
        if not kinds or not self.winner or self.unfit:
            return False
        bad = VerdictKind.REGRESSED in kinds or VerdictKind.FAILED in kinds
        return not bad and (self.wanted.goal == "size" or VerdictKind.IMPROVED in kinds)

    @property
    def unfit(self) -> str:
        """Why the final duel rules the winner out: by its sound, or because it stalled; ""."""
        if self.duel is None:
            return ""
        data = self.duel.data
        broken = {} if self.wanted.any_quality else quality_failures(data.verdicts)
        values = RunValues(data)
        ours = (each for each in data.run.scenarios if each.arm == data.run.scenarios[0].arm)
        return next(iter(broken.values()), "") or next(filter(None, (stalled(values.of(each)) for each in ours)), "")


def optimise(config: Config, base: Arm, wanted: Wanted, report: Callable[[str], None]) -> Outcome:
    """Search, judge and prove. Raises Stopped if it is interrupted, UsageError if there is nothing to try."""
    models = Models(config=config, base=base, report=report)
    key = key_of(base.id, wanted.goal, str(wanted.any_quality), *config["text"], config["language"], *wanted.changes)
    key = key_of(key, Mode.STREAM.value) if wanted.streamed else key
    runs = SearchRuns(
        config=with_values(config, {"quality": "off"}),
        command=COMMAND,
        key=key,
        resumed=wanted.resumed,
        report=report,
    )
    if not wanted.resumed and (count := runs.unfinished()):
        report(f"a search with these settings came to no end after {count} runs; --resume would continue it")
    began = time.monotonic()
    stored = runs.round_before(0)
    if stored:
        made, skipped = models.stored(stored[0], wanted.changes), dict(stored[0].run.untried)
    else:
        made, skipped = models.make(until=began + MAKING * wanted.budget_s)
    runs = replace(runs, untried=tuple(skipped.items()))
    search = Search(
        base=base,
        metric=OBJECTIVES[wanted.goal].metric,
        text=next(iter(config["text"]), TEXT),
        voice=config.one_voice("optimise"),
        language=config["language"],
        changes=(*made, *wanted.changes),
        ignore_quality=wanted.any_quality,
        mode=Mode.STREAM if wanted.streamed else Mode.WHOLE,
    )
    budget_s = wanted.budget_s - (time.monotonic() - began)
    found = search.run(runs.measure_round, budget_s=max(budget_s, 1.0), earlier=runs.round_before)
    outcome = Outcome(wanted=wanted, search=search, found=found, key=key, skipped=skipped)
    outcome = _judged(outcome, models, replace(runs, config=config), budget_s=budget_s)
    outcome = _proven(outcome, runs, left_s=budget_s - _spent_s(outcome))
    return replace(outcome, drift=machine_change(_all_runs(outcome)))


def _all_runs(outcome: Outcome) -> list[RunData]:
    runs = [data for each in outcome.found.rounds for data in each.runs] + list(outcome.judged)
    return [*runs, outcome.duel.data] if outcome.duel else runs


def _spent_s(outcome: Outcome) -> float:
    return sum(data.seconds for data in _all_runs(outcome))


def _judged(outcome: Outcome, models: Models, runs: SearchRuns, *, budget_s: float) -> Outcome:
    """Judge the speech of the leaders, a few at a time, until one of them is fit to be recommended."""
    found = outcome.found
    leaders = found.leaders
    for start in range(0, len(leaders), JUDGED):
        some = leaders[start : start + JUDGED]
        if start and budget_s - _spent_s(outcome) <= 0:
            break
        data = _judging_run(outcome, some, models, runs, part=f"speech {start // JUDGED + 1}")
        arms = {scenario.arm.id for scenario in data.run.scenarios}
        sounds = {change: sound_of(outcome.search.arm(change).id, data.verdicts) for change in some}
        sounds = {change: sound for change, sound in sounds.items() if outcome.search.arm(change).id in arms}
        outcome = replace(outcome, judged=(*outcome.judged, data), sounds={**outcome.sounds, **sounds})
        fit = [each for each in some if outcome.wanted.any_quality or sounds[each].may_be_recommended]
        if fit:
            return replace(outcome, winner=fit[0])
    return outcome


def _judging_run(outcome: Outcome, some: Sequence[str], models: Models, runs: SearchRuns, *, part: str) -> RunData:
    """The original, the base and the leaders on each text, with their speech judged; from the store if it is there.

    Once is enough for that. As far as there is time, three blocks let the report show speed against sound.
    """
    search, budget_s = outcome.search, JUDGING * outcome.wanted.budget_s
    arms = [*models.original_arms(), search.base, *map(search.arm, some)]
    ids = {arm.id for arm in arms}
    for data in runs.before(part, usable=lambda data: data.run.status is not RunStatus.INTERRUPTED):
        if {scenario.arm.id for scenario in data.run.scenarios} == ids:
            return data
    # The audio is the same as when it is streamed, and that of whole texts is kept for each launch.
    whole = [replace(search.scenario(arm), mode=Mode.WHOLE) for arm in arms]
    scenarios = [replace(each, text_class=text) for text in JUDGED_TEXTS for each in whole]
    return runs.measure(scenarios, part=part, values={"budget": budget_s, "launches": 1, "blocks": 3})


def _proven(outcome: Outcome, runs: SearchRuns, *, left_s: float) -> Outcome:
    """The final duel of the winner against the base, on texts that the search did not use."""
    from harness.runner.duel import DuelArms
    from harness.runner.run_duel import launches_known_here, run_duel

    if not outcome.winner:
        return outcome
    search = outcome.search
    texts = [text for text in UNSEEN_TEXTS if text != search.text][:2]
    by_launch = METRICS[search.metric].per is Per.LAUNCH
    per_launch = _launch_s(outcome) + 2 * _pair_s(outcome, texts[0]) if by_launch else 0.0
    costs = [EARLIEST_BLOCKS * (per_launch or _pair_s(outcome, text)) for text in texts]
    if left_s < costs[0]:
        # The rounds take their equal parts of a larger budget too, and judging takes some of the duel's.
        parts = len(budgets(len(outcome.found.rounds[0].found), budget_s=1.0))
        enough_s = parts * (costs[0] + sum(data.seconds for data in outcome.judged))
        minutes = math.ceil(max(enough_s, outcome.wanted.budget_s + costs[0] - max(left_s, 0.0)) / 60)
        why = f"no time was left for the final duel, so nothing is proven: `--budget {minutes}m --resume` makes it"
        return replace(outcome, unproven=why)
    sides: DuelArms = DuelArms(candidate=search.arm(outcome.winner), reference=search.base)
    both = left_s >= sum(costs) and not by_launch
    config = with_values(runs.config, {"budget": left_s, "text": tuple(texts if both else texts[:1])})
    if by_launch:
        # One value a launch: only launches make pairs, and further blocks would end the duel before there are enough.
        launches = min(MANY_LAUNCHES, int(left_s / per_launch))
        config = replace(config, origins={**config.origins, "launches": COMMAND, "blocks": COMMAND})
        config = with_values(config, {"launches": launches, "blocks": 1})
    runs.report(f"final duel of {outcome.winner}: {left_s:.0f} s")
    finished = run_duel(
        config,
        sides,
        effect=outcome.wanted.effect,
        selection=runs.selection("duel"),
        launches=launches_known_here(runs.config),
        part_of_s=outcome.wanted.budget_s,
        mode=search.mode,
    )
    return replace(outcome, duel=finished)


def _launch_s(outcome: Outcome) -> float:
    """About how long the start of two workers takes, by the first launch of the last round."""
    data = outcome.found.rounds[-1].runs[-1]
    starts = data.blocks[0].started_at - data.run.started_at if data.blocks else 0.0
    return 2 * starts / len(data.run.scenarios)


def _pair_s(outcome: Outcome, text: str) -> float:
    """About how long a pair of a text takes, by the base's latency in the last round."""
    data = outcome.found.rounds[-1].runs[-1]
    scenario = data.run.scenarios[0]
    latencies = sorted(scenario_values(scenario, data)["latency"].flat)
    if not latencies:
        return 0.0
    characters = TEXT_CLASSES[text].characters / TEXT_CLASSES[scenario.text_class].characters
    return 2 * latencies[len(latencies) // 2] * characters
