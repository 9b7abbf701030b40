"""The terminal, and sentences on it."""

import re
from textwrap import fill

from rich.console import Console
from rich.text import Text

COMMAND = re.compile(r"`[^`]+`")
PIPED_WIDTH = 200


def make_console() -> Console:
    """The terminal, or for a file or a pipe a width that no table has to be folded for.

    Text is shown as it is: `[…]` of a user's is no style, and `:…:` no emoji.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def tell(console: Console, text: str, style: str = "") -> None:
    """Say a sentence: wrapped at words on a terminal, in a file on one line, for a search.

    A path and a command, which stands between backticks, stay whole: they are there to be copied.
    """
    lines = text.splitlines()
    if console.is_terminal:
        whole = [COMMAND.sub(lambda found: found[0].replace(" ", "\0"), line) for line in lines]
        lines = [fill(line, console.width, break_long_words=False, break_on_hyphens=False) for line in whole]
        lines = [line.replace("\0", " ") for line in lines]
    console.print(Text("\n".join(lines), style=style), soft_wrap=True)
