"""Names in ids, addresses and the names of files."""

import re

SERVER = "server:"
"""What the `url` of an arm begins with whose server is started by its name, at another port for each launch."""


def slug(text: str) -> str:
    """`text` in the characters that are valid in file names, addresses and pytest's -k."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "-", text).strip("-") or "-"
