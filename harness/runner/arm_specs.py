"""The arms that specifications of a command line name, ready to be measured."""

import re
from collections.abc import Callable, Sequence

from harness.core.comma_lists import join_list, split_list
from harness.core.errors import UsageError
from harness.core.names import SERVER
from harness.core.records.scenario import Arm
from harness.plan.arm_options import check_arm_options
from harness.plan.arm_spec import parse_arm_spec, with_model
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config, with_values
from harness.plan.labels import label_models
from harness.runner.arm_sources import beside_a_revision, check_engine, with_source
from harness.runner.resources import model_names

NAMES_MODEL = re.compile(r"(^|,)(model|url|server)=")

ConfiguredArm = Callable[..., Arm]
"""The one arm of the configuration; its keywords are those of `harness.cli.options.one_arm`."""


def arms_of(config: Config, specs: Sequence[str], *, configured: ConfiguredArm) -> tuple[Config, list[Arm]]:
    """The arms that `specs` describe (`harness.plan.arm_spec`), and the configuration that resolves their models.

    They are changes to the `configured` arm, or to a server that they all name. UsageError if one cannot be measured.
    """
    named = all(NAMES_MODEL.search(spec) for spec in specs)
    servers = [split_server(spec)[0] for spec in specs]
    names = () if all(servers) else model_names(config)
    if all(servers):
        base = server_base(config, servers[0])
    else:
        base = configured(config, download=not named, engine_here=False)
    if config["model"] and base.model:
        base = with_model(base, config["model"][0])

    def side(spec: str) -> Arm:
        server, changes = split_server(spec)
        arm = parse_arm_spec(
            changes if server else spec, base=server_base(config, server) if server else base, models=names
        )
        if server and arm.revision and not arm.server:
            raise UsageError(
                "a server at an address has no revision", where=spec, remedy="server=NAME,rev=REV starts one of it"
            )
        if arm.session_options != base.session_options or arm.engine != base.engine:
            check_arm_options(arm, where=spec)
        return with_source(arm, config)

    sides = [side(spec) for spec in specs]
    if any(arm.revision for arm in sides):
        sides = [beside_a_revision(arm, config) for arm in sides]
    for text, arm in zip(specs, sides, strict=True):
        if not (arm.revision or arm.runtime.requirements):
            check_engine(arm.engine, where=text)
    return label_models(config, sides)


PREFIXES = {"url=": "", "server=": SERVER}
"""What a side begins with → what the URL of its arm begins with."""


def split_server(text: str) -> tuple[str, str]:
    """The URL of the server that a side names ("" for none), and the other changes. UsageError for two servers."""
    urls, others = [], []
    for item in split_list(text):
        found = next((name for name in PREFIXES if item.startswith(name)), "")
        if found:
            value = item.removeprefix(found).strip()
            if not value:
                raise UsageError(f"{found} names no server", where=item, remedy="url=http://127.0.0.1:8880")
            urls.append(PREFIXES[found] + value)
        else:
            others.append(item)
    if len(urls) > 1:
        raise UsageError("one side names two servers", where=text, remedy="separate the sides by a space")
    return urls[0] if urls else "", join_list(others) or "current"


def server_base(config: Config, url: str) -> Arm:
    """The arm of the server, with the configured options of endpoints. UsageError."""
    return endpoint_arm(with_values(config, {"url": url}))
