"""uv, which installs packages: run as a process of its own."""

import os
import subprocess
from pathlib import Path

from harness.core.errors import IndexOutOfReachError, RuntimeBuildError

TAIL_LINES = 8
UNREACHED = "error sending request"
"""What uv writes where no server answers."""
OUT_OF_REACH = "check the network, or name a package index that can be reached (UV_DEFAULT_INDEX)"
BOX = " \t×├─╰▶│"
"""What uv draws before the lines of an error."""


def run_uv(
    *arguments: str,
    given: str = "",
    what: str,
    remedy: str = "",
    failure: str = "the packages cannot be installed",
    folder: Path | None = None,
    timeout_s: float | None = None,
    retries: int | None = None,
) -> str:
    """Run uv and return its output. Raises RuntimeBuildError with the end of its error output.

    `what` names what is installed, `remedy` replaces the advice for packages that do not fit together, `failure` says
    what failed. Relative paths in requirements begin at `folder`, or else at the current one. uv is killed
    after `timeout_s` seconds, which is an error too. `retries` of a request that fails; None leaves it to uv, which
    waits 10 s for an index that cannot be reached.
    """
    # Use the system's certificates: uv's bundled ones do not know a company's proxy.
    environment = {
        "UV_SYSTEM_CERTS": "1",
        **({} if retries is None else {"UV_HTTP_RETRIES": str(retries)}),
        **os.environ,
    }
    try:
        from uv import find_uv_bin

        done = subprocess.run(
            [find_uv_bin(), "--no-progress", *arguments],
            input=given,
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            env=environment,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeBuildError(
            f"the packages were not installed within {timeout_s:.0f} s", where=what, remedy="try again"
        ) from error
    except (ImportError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RuntimeBuildError(f"uv cannot be run ({reason})", where=what, remedy="pip install uv") from error
    if done.returncode:
        lines = [text for line in done.stderr.splitlines() if (text := line.strip(BOX))]
        tail = " / ".join(lines[-TAIL_LINES:])
        if UNREACHED in done.stderr:
            raise IndexOutOfReachError(f"{failure}: {tail}", where=what, remedy=OUT_OF_REACH)
        raise RuntimeBuildError(
            f"{failure}: {tail}",
            where=what,
            remedy=remedy or "request compatible versions that exist for this Python",
        )
    return done.stdout
