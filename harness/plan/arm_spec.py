r"""Arm specifications: the sides of a duel as users write them, as changes to the configured arm.

`current` is the arm as configured. Otherwise it is a comma-separated list of changes (`\,` is a literal comma):

- a requirement, such as `onnxruntime==1.22.1`: other packages, in a separate runtime;
- the source of packages (`harness.plan.package_sources`), such as `path:../engine` or `bells @ git+file:///…@main`;
- `model=NAME`, `provider=NAME`, `threads=N`, `runtime=NAME`, or a session option such as `arena=off`;
- `PROVIDER:NAME=VALUE`, an option of the arm's execution provider, such as `cuda:cudnn_conv_algo_search=HEURISTIC`;
- `engine=NAME`, another engine for the same model, followed by options of that engine, such as `sessions=2`;
- of an engine of another package, every option that is no other change;
- for a server, an option of the endpoint, such as `keep_alive=off`;
- for the scripted engine, a script of the arm's own, such as `script=pace=1.1`;
- `rev=REVISION`: another revision of the git repository that the command runs in;
- a model's name or file by itself, or a git revision by itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from harness.core.comma_lists import join_list, split_list
from harness.core.errors import UsageError, nearest
from harness.core.records.scenario import Arm, ModelVariant, Runtime
from harness.engines.builds import refuse_several_builds
from harness.engines.declarations import BUILT_IN, KOKORO, declaration_of
from harness.engines.kokoro.session import SESSION_OPTIONS
from harness.engines.pooled.options import SENTENCES_OPTIONS
from harness.engines.providers import provider_names
from harness.engines.registry import own_options
from harness.models.naming import SUFFIXES
from harness.plan.package_sources import is_source, read_source, runtime_name, source_name

CURRENT = ("current", ".")
REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[^\]]*\])?\s*(===|==|~=|!=|<=|>=|<|>)\s*\S+")


def parse_arm_spec(text: str, *, base: Arm, models: Sequence[str]) -> Arm:
    """The arm that `text` describes as changes to `base`; `models` are the catalogue's names. Raises UsageError."""
    if not text.strip():
        raise UsageError("an empty side", where="duel", remedy="name the settings that differ, or `current`")
    arm = base
    requirements: list[str] = []
    for item in split_list(text):
        if item in CURRENT or not item:
            continue
        if is_source(item):
            requirements.append(read_source(item, base=Path.cwd(), where="duel"))
        elif REQUIREMENT.fullmatch(item):
            requirements.append(item.replace(" ", ""))
        else:
            arm = _change(arm, item, models)
    if requirements:
        refuse_several_builds(requirements, where="duel")
        arm = replace(arm, runtime=Runtime(name=runtime_name(requirements), requirements=tuple(sorted(requirements))))
    return arm


def arm_spec_of(arm: Arm) -> str:
    """The specification of `arm` relative to the default arm, or "" if there is none.

    An arm with a user's own model file has none, because a run stores the file's label and not its path. The scripted
    engine is not named: all arms of a command have it, by `--engine`.
    """
    engine = declaration_of(arm.engine)
    unsaid = arm.url or arm.slowdown or any("," in each for each in arm.runtime.requirements)
    if arm.model is None or arm.model.origin == "user" or not engine.takes_models or unsaid:
        return ""
    changes = [f"model={arm.model.name}"]
    changes += [f"engine={arm.engine}"] if engine != KOKORO and not engine.is_scripted else []
    changes += [f"provider={arm.provider}"] if arm.provider != "cpu" else []
    changes += [f"{arm.provider}:{name}={value}" for name, value in arm.provider_options]
    changes += [f"threads={arm.threads}"] if arm.threads else []
    changes += arm.runtime.requirements
    changes += [f"{name}={value}" for name, value in arm.session_options]
    changes += [f"rev={arm.revision}"] if arm.revision else []
    return join_list(changes)


def with_label(text: str, label: str) -> str:
    """The specification `text` with the model's label in place of the model's name or file."""
    given = []
    for item in split_list(text):
        name, equals, value = item.partition("=")
        if name == "model" and equals and value:
            given.append(f"model={label}")
        else:
            given.append(label if not equals and _is_file(item) else item)
    return join_list(given)


def without_paths(text: str) -> str:
    """The specification `text` with short names in place of the sources of packages, without the user's folders."""
    return join_list(map(_without_path, split_list(text)))


def _without_path(item: str) -> str:
    name, equals, value = item.partition("=")
    if name == "runtime" and equals and is_source(value):
        return f"runtime={source_name(value)}"
    return source_name(item) if is_source(item) else item


def settings_of(text: str) -> frozenset[str]:
    """The configuration keys that a specification changes. A user's value of such a key replaces the change."""
    found = set()
    for item in split_list(text):
        name = item.partition("=")[0]
        if is_source(item) or REQUIREMENT.fullmatch(item):
            found.add("runtime")
        elif name in SESSION_OPTIONS or name in SENTENCES_OPTIONS:
            found.add("session-options")
        elif ":" in name:
            found.add("provider-options")
        elif item and item not in CURRENT:
            found.add(name)
    return frozenset(found)


def _change(arm: Arm, item: str, models: Sequence[str]) -> Arm:
    name, equals, value = item.partition("=")
    if not equals:
        return _bare(arm, item, models)
    options = _options(arm)
    if name in options:
        return replace(arm, session_options=_with_option(arm.session_options, name, value))
    provider, colon, option = name.partition(":")
    if colon and option and provider in provider_names():
        if provider != arm.provider:
            raise UsageError(
                f"an option of {provider} for an arm on {arm.provider or arm.engine}",
                where=item,
                remedy=f"put provider={provider} before it",
            )
        return replace(arm, provider_options=_with_option(arm.provider_options, option, value))
    if name not in CHANGES and arm.engine not in BUILT_IN and not get_close_matches(name, (*CHANGES, *options)):
        # Only the engine knows its options, and it may be in no environment that is here.
        return replace(arm, session_options=_with_option(arm.session_options, name, value))
    if name not in CHANGES:
        raise UsageError(f"unknown change {name!r}", where=item, remedy=nearest(name, (*CHANGES, *options)))
    return CHANGES[name](arm, value)


def _with_option(options: Sequence[tuple[str, str]], name: str, value: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**dict(options), name: value}.items()))


def _options(arm: Arm) -> Mapping[str, str]:
    """The options that the arm's engine takes → their values. A server takes no session options."""
    own = own_options(arm.engine)
    return own if arm.url else {**SESSION_OPTIONS, **own}


def _bare(arm: Arm, item: str, models: Sequence[str]) -> Arm:
    """A single word: a model's name, a model file, or else a git revision (which may contain slashes)."""
    if item in models:
        return with_model(arm, item)
    if _is_file(item):
        return with_model(arm, str(Path(item).expanduser().absolute()))
    return replace(arm, revision=item)


def _is_file(item: str) -> bool:
    return Path(item).suffix.lower() in SUFFIXES or Path(item).is_file()


def with_model(arm: Arm, name: str) -> Arm:
    """The arm with another model, given by name or file; the model is resolved later."""
    return replace(arm, model=ModelVariant(name=name, sha256="", size=0, origin="unresolved"))


def _with_engine(arm: Arm, name: str) -> Arm:
    if not declaration_of(name).takes_models or arm.model is None:
        modelled = [each.name for each in BUILT_IN.values() if each.takes_models]
        raise UsageError(f"no engine {name!r} for a model", where="engine", remedy=nearest(name, modelled))
    return replace(arm, engine=name)


def _with_provider(arm: Arm, name: str) -> Arm:
    if name not in provider_names():
        raise UsageError(f"unknown provider {name!r}", where="provider", remedy=nearest(name, provider_names()))
    if name == arm.provider:
        return arm
    return replace(arm, provider=name, provider_options=())  # no provider has another's options


def _with_threads(arm: Arm, count: str) -> Arm:
    if not count.isdigit():
        raise UsageError(f"threads takes a whole number, not {count!r}", where="threads", remedy="threads=1")
    return replace(arm, threads=int(count))


CHANGES: Mapping[str, Callable[[Arm, str], Arm]] = {
    "engine": _with_engine,
    "model": with_model,
    "provider": _with_provider,
    "threads": _with_threads,
    "rev": lambda arm, revision: replace(arm, revision=revision),
    "runtime": lambda arm, name: replace(arm, runtime=Runtime(name=name)),
}
"""The changes that have a name, besides the session options."""
