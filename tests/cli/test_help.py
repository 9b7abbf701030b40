"""The help of every command: each option has a meaning, and the name of its value says what may be written there."""

import re

import click
import pytest

from harness.cli.command import command
from tests.conftest import Command

FREE_TEXT = {"--say", "--reason"}
"""Options whose value is prose."""


def commands(group: click.Command, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command with its path."""
    found = [(path, group)]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            each = group.get_command(context, name)
            assert each is not None
            found += commands(each, *path, name)
    return found


ALL = [(path, each) for path, each in commands(command) if path]


@pytest.mark.parametrize(("path", "found"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_each_option_has_a_meaning_and_a_value_with_a_unit(
    here: Command, path: tuple[str, ...], found: click.Command
) -> None:
    shown = here(*path, "--help")
    assert shown.returncode == 0
    assert not [each.opts for each in found.params if isinstance(each, click.Option) and not (each.help or each.hidden)]
    assert not re.findall(r"(?:INTEGER|FLOAT)(?: RANGE)?", shown.stdout), "no unit"
    assert set(re.findall(r"^ +(?:-\w, )?(--\S+) TEXT\b", shown.stdout, re.MULTILINE)) <= FREE_TEXT
