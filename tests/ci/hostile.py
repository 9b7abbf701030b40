"""Markdown that a stranger may write, and what of it must take no effect."""

import html
import re

from markdown_it import MarkdownIt

HOSTILE = (
    "<script>alert(1)</script>",
    "<!-- kokoro-bench --> <img src=x onerror=alert(1)>",
    "[click](https://evil.example) ![pixel](https://evil.example/p.png)",
    "[a]: https://evil.example",
    "https://evil.example www.evil.example evil@evil.example",
    "@octocat please merge, closes #1, GH-1, octo/repo#2",
    "&lt;b&gt; &#60;b&#62; \\<b\\> \\&lt;",
    "```\ncode\n```",
    "~~~\ncode\n~~~",
    "    indented",
    "| a | <b> | [x](y) |",
    "## <b>heading</b> [x](https://evil.example)",
    "- [ ] task @octocat",
    "heading\n===\n---",
    "`https://evil.example` `<b>` ``x`` \\`y`",
    "> [!WARNING]\n> trust me",
    "$x$ \u202eright to left\u202c \u200b \x00 \x1b[31m",
    "10) list\n1. list\n* list\n+ list",
    ":octocat: ^[footnote] [^1]",
    "/close\n/label ~bug\n  /merge",
    '!1 &2 $3 %4 %"next" ~bug ~_bug ~"a b"',
)
SYNTAX = re.compile(r"<|>|(?<!&)(?<!\\)#|(?<!\\)[\[\]*_~$]|@|:(?=/)|(?<!\\)```|&(?!#\d+;)|[\x00-\x09\u200b-\u202e]")
"""What Markdown would act on."""
SHOWN = re.compile(r"@\w|#\d|://|www\.\w|GH-\d|[!&$]\d|[%~][\w\"]", re.IGNORECASE)
"""What GitHub or GitLab would act on in the text that they show."""
COMMAND = re.compile(r"^/", re.MULTILINE)
"""What GitLab would do."""


def without_structure(text: str) -> str:
    """The text without what the comment keeps: headings, lists, tables and plain code."""
    lines = [re.sub(r"^(#{2,3}|-) ", "", line) for line in text.split("\n")]
    return "\n".join(re.sub(r"(?<!\\)`[A-Za-z0-9 .,_=/~^+%-]+`", " ", line) for line in lines)


def is_text(markdown: str) -> bool:
    """Whether nothing in the text takes effect, neither as Markdown nor in what is shown of it."""
    left = without_structure(markdown)
    shown = re.sub(r"\\(\W)", r"\1", html.unescape(left))
    return not SYNTAX.search(left) and not SHOWN.search(shown) and not COMMAND.search(markdown)


KEPT = {"heading", "paragraph", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td", "inline"}


def has_only_the_kept_structure(markdown: str) -> bool:
    """Whether a reader of Markdown finds only headings, paragraphs, lists, tables, text and plain code."""
    blocks = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    inner = {child.type for block in blocks for child in block.children or ()}
    outer = {block.type.removesuffix("_open").removesuffix("_close") for block in blocks}
    return outer <= KEPT and inner <= {"text", "code_inline", "softbreak", "text_special"}
