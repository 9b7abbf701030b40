"""Which scenarios a command measures: the arms and texts of its configuration. This resolves and builds nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import CURRENT_RUNTIME, Arm, ModelVariant, Runtime, Scenario, Utterance
from harness.engines.declarations import ENDPOINT, declaration_of
from harness.measure.runtimes.build import declared, find_runtime
from harness.measure.runtimes.resolve import digest_of
from harness.measure.runtimes.sources import described_source
from harness.plan.arm_options import check_arm_options, check_script
from harness.plan.arms import endpoint_arm, plain_arm
from harness.plan.config import Config
from harness.plan.corpus import user_text
from harness.plan.labels import configured_labels
from harness.plan.matrix import ScenarioRequest, expand
from harness.plan.requests import is_for, resolved_request
from harness.runner.arm_sources import check_engine
from harness.runner.default_models import default_names

BUDGETS_S = {"quick": 270.0, "full": 2_700.0, "nightly": 7_200.0}

ArmsOfRecipes = Callable[[tuple[str, ...] | None], tuple[Arm, ...]]


def arms_of_recipes(config: Config, selection: str) -> ArmsOfRecipes:
    """`wanted_arms` by their recipes, each looked up once: describing a repository's commit starts git twice."""
    return cache(lambda recipes: wanted_arms(config, selection, recipes=recipes))


def wanted_scenarios(
    config: Config, requests: Sequence[ScenarioRequest], selection: str, *, arms: ArmsOfRecipes | None = None
) -> tuple[Scenario, ...]:
    """Every scenario of `requests`. Models are not resolved, so listing scenarios builds nothing.

    `arms` gives the arms where several calls share them.
    """
    arms = arms or arms_of_recipes(config, selection)
    return tuple(
        scenario
        for request in requests
        if is_for(request, config)
        for scenario in expand(
            resolved_request(request, config),
            arms=arms(request.recipes),
            voice=config.voices[0],
            language=config["language"],
            texts=config["text"],
            own=own_texts(config),
        )
    )


def own_texts(config: Config) -> tuple[Utterance, ...]:
    """The user's own texts that are configured."""
    return tuple(map(user_text, config["say"]))


def wanted_arms(
    config: Config, selection: str, *, recipes: Sequence[str] | None = None, engine_here: bool = True
) -> tuple[Arm, ...]:
    """Runtimes × models × providers × thread counts of the configuration. The models are not resolved yet.

    Without a named model: the original and its variants by `recipes` (None: the selection's), if the engine has models.
    `engine_here` says whether the engine of an arm in this environment must be here: a side of a duel may be elsewhere.
    """
    engine = config["engine"]
    if declaration_of(engine).is_scripted:
        check_script(config)
    runtimes = _wanted_runtimes(config)
    if engine_here and CURRENT_RUNTIME in runtimes:
        check_engine(engine)
    if engine == ENDPOINT.name:
        arm = endpoint_arm(config)
        check_arm_options(arm, where=config.named("endpoint-options"))
        return (arm,)
    if not declaration_of(engine).has_axes:
        return (plain_arm(config),)
    _check_providers(config["provider"])
    models = list(configured_labels(config).values())
    if not models and declaration_of(engine).takes_models:
        models = default_names(engine, selection, recipes)
    found = tuple(
        Arm(
            engine=engine,
            model=ModelVariant(name=model, sha256="", size=0, origin="unresolved") if model else None,
            provider=provider,
            threads=threads,
            runtime=runtime,
            provider_options=config["provider-options"],
            session_options=config["session-options"],
            source=described_source(runtime),
        )
        for runtime in runtimes
        for model in models or [""]
        for provider in config["provider"]
        for threads in config["threads"]
    )
    check_arm_options(found[0], where=config.named("session-options"))
    return found


def _wanted_runtimes(config: Config) -> list[Runtime]:
    """The configured runtimes. Those of one name get different ones, because a name is a part of an arm's id."""
    known = declared(config.tables, root=config.root)
    found = [find_runtime(text, known) for text in config["runtime"]] or [CURRENT_RUNTIME]
    called = Counter(runtime.name for runtime in found)
    return [
        replace(each, name=f"{each.name}-{digest_of(each.requirements)[:6]}") if called[each.name] > 1 else each
        for each in dict.fromkeys(found)
    ]


def _check_providers(providers: Sequence[str]) -> None:
    from harness.engines.providers import provider_names

    for provider in providers:
        if provider not in provider_names():
            remedy = nearest(provider, list(provider_names()))
            raise UsageError(f"unknown provider {provider!r}", where="--provider", remedy=remedy)
