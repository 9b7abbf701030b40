"""How a duel is run and analysed: launches, blocks and their shares of the budget, in slices or without."""

from dataclasses import replace
from typing import TYPE_CHECKING

from harness.plan.config import Config

if TYPE_CHECKING:
    from harness.analysis.stats.comparison import Policy
    from harness.runner.calibration import KnownLaunches, LaunchEffect
    from harness.runner.duel import DuelArms, Terms

LAUNCHES = 4
LAUNCHING = 0.5
"""If launches would take more than this share of the budget, fewer are made: pairs matter more than launches."""
FEWEST_PAIRS = 4
"""Pairs per launch: one or two pairs leave hardly any degrees of freedom."""
LAUNCHES_IN_SLICES, LAUNCHING_IN_SLICES, FEWEST_IN_SLICES = 16, 0.6, 3
"""The same for arms that run at the same time: pairs vary less than launches do, so launches matter more."""
MANY_BLOCKS = 10_000


def why_whole(opponents: "DuelArms") -> str:
    """The reason why the two arms cannot run in time slices, or "".

    In slices the work of an arm must stop when its process is halted.
    """
    from harness.engines.declarations import declaration_of
    from harness.engines.providers import find_provider

    for arm in (opponents.candidate, opponents.reference):
        provider = find_provider(arm.provider)
        device = dict(arm.provider_options).get("device_type", "CPU")
        if declaration_of(arm.engine).is_scripted:
            return "the scripted engine has no process of its own"
        if arm.url and not arm.server:
            return f"{arm.id} is a server, which continues to work while its client is halted"
        if declaration_of(arm.engine).server:
            return f"{arm.id} is a server, whose clocks continue while it is halted"
        if arm.provider and not (provider and provider.on_cpu and device.startswith("CPU")):
            return f"{arm.id} works on a device that continues while its process is halted"
    return ""


def terms_of(config: Config, known: "LaunchEffect | None", *, slice_s: float) -> "Terms":
    """How a duel is run and analysed, in slices or without. A number of launches given by the user is kept."""
    from harness.plan.matrix import LaunchPolicy
    from harness.runner.duel import Terms

    launches = config.chosen("launches", LAUNCHES_IN_SLICES if slice_s else LAUNCHES)
    share = LAUNCHING_IN_SLICES if slice_s else LAUNCHING
    launch_policy = LaunchPolicy(
        launching=share if config.origins["launches"] == "default" else 1.0,
        fewest_blocks=FEWEST_IN_SLICES if slice_s else FEWEST_PAIRS,
        slice_s=slice_s,
        launches=launches,
    )
    return Terms(
        launches=launches,
        policy=_policy(config, known, in_slices=bool(slice_s)),
        blocks=config.chosen("blocks", None),
        launch_policy=launch_policy,
    )


def both_terms(config: Config, known: "KnownLaunches", *, unfit: str) -> "tuple[Terms, Terms]":
    """The terms of a duel, and those for arms that turn out to be unfit for slices.

    `unfit` says why the arms cannot run in slices, "" if they can.
    """
    otherwise = terms_of(config, known.whole, slice_s=0.0)
    sliced = config["slice"] and not unfit
    terms = terms_of(config, known.in_slices, slice_s=config["slice"]) if sliced else otherwise
    launch_policy = replace(terms.launch_policy, whole=unfit, otherwise=otherwise.launch_policy)
    return replace(terms, launch_policy=launch_policy), otherwise


def _policy(config: Config, known: "LaunchEffect | None", *, in_slices: bool) -> "Policy":
    """The gate's policy, with the measured variation between launches, or the assumed one of launches in slices."""
    from harness.analysis.conclude import policy_of
    from harness.analysis.stats.paired import SLICED_LAUNCH_SD

    policy = policy_of(config)
    if known is not None:
        return replace(policy, launch_inflation=known.inflation, launch_sd=known.sd or 0.0)
    return replace(policy, launch_sd=SLICED_LAUNCH_SD) if in_slices else policy


def with_duel_defaults(config: Config, *, budget_s: float, launches: int) -> Config:
    """The configuration with a duel's own defaults; `budget_s` where no budget was chosen."""
    from harness.plan.config import with_values

    return with_values(
        config,
        {
            "budget": config["budget"] or budget_s,
            "launches": config.chosen("launches", launches),
            "blocks": config.chosen("blocks", MANY_BLOCKS),
        },
    )


def launches_known_here(config: Config) -> "KnownLaunches":
    """The variation between launches that calibration measured on this machine; one duel has too few to tell."""
    from harness.runner.calibration import KnownLaunches, launch_effect
    from harness.runner.resources import machine_key

    key = machine_key(config)
    return KnownLaunches(
        in_slices=launch_effect(config.baselines, key, in_slices=True),
        whole=launch_effect(config.baselines, key, in_slices=False),
    )
