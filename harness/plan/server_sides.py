"""Sides of a duel that name a server: `url=ADDRESS` or `server=NAME`, with changes to its options."""

from harness.core.comma_lists import join_list, split_list
from harness.core.errors import UsageError
from harness.core.records.scenario import SERVER, Arm
from harness.plan.arms import endpoint_arm
from harness.plan.config import Config, with_values

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
