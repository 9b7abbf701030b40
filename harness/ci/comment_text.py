"""Text for comments that is shown and does nothing. Part of the programs that are written whole into workflows.

A summary may have been written by the code of a pull request, and so nothing in it is trusted. Headings, lists, tables
and plain code are kept, and all else becomes text, for GitHub as for GitLab. It needs only the standard library:
nothing of the repository may run where the programs run.
"""

import re

MARKER = "<!-- kokoro-bench -->"
MOST_BYTES = 200_000
MOST_CHARACTERS = 60_000

BREAK = "&#8203;"
"""A space without width. GitHub and GitLab look for mentions, references and addresses in the text that they show, so
that an escape alone does not keep `@name` from being one."""
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])|&#(\d{1,4});")
SPECIAL = re.compile(r"[\\`*_{}\[\]#|<>&~@$]|:(?=[^\s\d])|^[-+](?=\s)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)")
LINKED = re.compile(
    r"(&#64;|\\#(?=\d)|&#58;(?=//)|\bwww\.|\bGH-(?=\d)"  # GitHub's, and those that GitLab has too
    r"|!(?=\d)|&#38;(?=\d)|\\\$(?=\d)|(?:%|\\~)(?=\\?[\w\"]))",  # merge request, epic, snippet, milestone, label
    re.IGNORECASE,
)
CODE = re.compile(r"(?<![\\`])(`[A-Za-z0-9 .,_=/~^+%-]+`)(?!`)")
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff\ufff9-\ufffb]"
)


def harmless(markdown: str) -> str:
    """The summary with its structure, and all of its text as text: no link, mention, HTML or reference takes effect."""
    kept: list[str] = []
    size = 0
    for raw in markdown.split("\n"):
        line = _line(" ".join(_visible(raw).split()))
        size += len(line) + 1
        if size > MOST_CHARACTERS:
            kept.append("\n… and more, in the report.")
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _line(line: str) -> str:
    if re.fullmatch(r"\|( --- \|)+", line):
        return line
    if len(line) > 3 and line.startswith("| ") and line.endswith(" |"):
        return "| " + " | ".join(_text(cell.strip()) for cell in line[2:-2].split("|")) + " |"
    heading = re.match(r"(#{2,3}|-) (?=\S)", line)
    if heading:
        return heading[0] + _text(line[heading.end() :])
    text = _text(line)
    # It would begin a list, underline a heading, draw a line, or be a command of GitLab, such as /close.
    return f"\\{text}" if text[:1] in {"-", "+", "=", "/"} else text


def _text(text: str) -> str:
    """One piece of text. Code of harmless characters stays code."""
    parts = CODE.split(text)
    return "".join(part if index % 2 else _escape(_plain(part)) for index, part in enumerate(parts))


def _plain(text: str) -> str:
    """What escaped text says."""
    return ESCAPED.sub(lambda found: found[1] or _character(int(found[2])), text)


def _character(number: int) -> str:
    """The character of a number; nothing for one that cannot be seen."""
    return _visible(chr(number)) if 32 <= number < 8192 else ""


def _escape(text: str) -> str:
    escaped = SPECIAL.sub(lambda found: f"&#{ord(found[0])};" if found[0] in "<>&@|:" else f"\\{found[0]}", text)
    return LINKED.sub(rf"\1{BREAK}", escaped)


def _visible(text: str) -> str:
    return HIDDEN.sub(lambda found: f"\u27e8U+{ord(found[0]):04X}\u27e9", text)


def comment_of(markdown: str, *, links: str) -> str:
    """The whole comment; `links` is a line of Markdown below the summary, written as it is."""
    return f"{MARKER}\n{harmless(markdown) or 'No summary was written.'}\n\n{links}\n"
