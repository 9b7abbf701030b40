"""Options of arms: checked before anything is launched, as far as their engine is known here."""

from collections.abc import Mapping, Sequence

from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Arm
from harness.engines.declarations import BUILT_IN
from harness.engines.registry import all_options, check_options
from harness.engines.speech import EngineRefusal
from harness.plan.arm_spec import parse_arm_spec
from harness.plan.config import Config


def check_arm_options(arm: Arm, *, where: str) -> None:
    """Raise UsageError for an option that the arm's engine would refuse.

    An engine of another package, and another revision of ours, may take other options than are known here.
    """
    if arm.engine in BUILT_IN and not arm.revision:
        check_engine_options(arm.engine, dict(arm.session_options), where=where)


def check_engine_options(engine: str, options: Mapping[str, str], *, where: str) -> None:
    """Raise UsageError for an option that a built-in engine would refuse; the remedy is the nearest name or a value."""
    known = all_options(engine)
    for name, value in options.items():
        if name not in known:
            remedy = nearest(name, list(known)) if known else "leave it out"
            raise UsageError(f"the engine {engine} has no option {name!r}", where=where, remedy=remedy)
        try:
            check_options(engine, {name: value})
        except EngineRefusal as refusal:
            raise UsageError(str(refusal), where=where, remedy=f"{name}: {known[name]}") from refusal
    try:
        check_options(engine, options)
    except EngineRefusal as refusal:
        raise UsageError(str(refusal), where=where, remedy="change one of the two") from refusal


def check_changes(base: Arm, changes: Sequence[str], *, option: str) -> None:
    """Raise UsageError for a change to `base`, given with `option`, that the arm's engine would refuse."""
    for change in changes:
        check_arm_options(parse_arm_spec(change, base=base, models=()), where=f"{option} {change}")


def check_script(config: Config) -> None:
    """Raise UsageError for a script that the scripted engine would refuse."""
    from harness.engines.scripted import Script, script_names

    given, names = dict(config["script"]), script_names()
    where = config.named("script")
    for name in given:
        if name not in names:
            raise UsageError(f"a script has no {name!r}", where=where, remedy=nearest(name, names))
    try:
        Script.read(given)
    except EngineRefusal as refusal:
        raise UsageError(str(refusal), where=where, remedy="for example --script pace=1.2") from refusal
