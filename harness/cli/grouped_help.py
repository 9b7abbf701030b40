"""Help that lists options by their purpose, and the command's own options first."""

from collections.abc import Callable
from typing import Any

import click

from harness.plan.keys import Group

OWN = "Options"
"""The heading of an option that belongs to no group."""


class GroupedOption(click.Option):
    """An option that stands under the heading `group`."""

    def __init__(self, *declarations: Any, group: str = OWN, **given: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*declarations, **given)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has a section for each group of options that it has."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections: the command's own options, the groups in their order, and --help last."""
        sections: dict[str, list[tuple[str, str]]] = {OWN: [], **{group.value: [] for group in Group}}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                sections[getattr(parameter, "group", OWN)].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def command(**given: Any) -> Callable[[Callable[..., Any]], GroupedCommand]:  # noqa: ANN401 - click's own
    """`click.command` with grouped help."""
    return click.command(cls=GroupedCommand, **given)


def option(*declarations: str, group: Group, **given: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # noqa: ANN401 - click's own
    """`click.option` under a heading."""
    return click.option(*declarations, cls=GroupedOption, group=group.value, **given)
