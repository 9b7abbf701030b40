"""A combination as the command that serves it: the arm that was measured, with all that decides its speed and audio."""

import shlex

from harness.core.comma_lists import join_list
from harness.core.records.scenario import Arm
from harness.engines.option_values import read_switch
from harness.engines.pooled.options import CLIENT_OPTIONS, SENTENCES_OPTIONS
from harness.engines.pooled.splitter import Plan
from harness.engines.registry import own_options


def splits_texts(engine: str) -> bool:
    """Whether an engine is the reference server, or its part in process: it has an option of where texts are split."""
    return "first" in own_options(engine)


def serve_command(arm: Arm, *, model: str, voices: str, voice: str) -> str:
    """`kokoro-bench serve` for an arm; "" if no server of this environment is like it.

    `model` is a name or a path, `voices` a path or "".
    """
    if not splits_texts(arm.engine) or arm.runtime.requirements or arm.revision or arm.slowdown:
        return ""
    left = dict(arm.session_options)
    own = {name: left.pop(name) for name in SENTENCES_OPTIONS if name in left}
    session = {name: value for name, value in left.items() if name not in CLIENT_OPTIONS}
    # An arm plans for a fixed factor and decodes whole segments unless it says so; the server would choose its own.
    own.setdefault("planned_rtf", f"{Plan().rtf:g}")
    own.setdefault("window", "0")
    words = ["kokoro-bench", "serve", "--model", join_list([model])]
    words += ["--voices", voices] if voices else []
    words += ["--voice", voice, "--provider", arm.provider, "--threads", str(arm.threads)]
    if "warm_up" in own and not read_switch("warm_up", own.pop("warm_up")):
        words.append("--no-warm-up")
    for name, value in own.items():
        words += [f"--{name.replace('_', '-')}", value]
    for option, pairs in (("--session-options", session), ("--provider-options", dict(arm.provider_options))):
        words += [option, join_list(f"{name}={value}" for name, value in pairs.items())] if pairs else []
    return shlex.join(words)
