"""The cache folder of this program: models, runtimes, locks, bisections."""

import os
from pathlib import Path

from harness.core.user_paths import user_path

ROOT_VARIABLE = "KOKORO_BENCH_CACHE"


def default_root() -> Path:
    """The user's cache folder of this program; KOKORO_BENCH_CACHE names another."""
    chosen = os.environ.get(ROOT_VARIABLE)
    if chosen and chosen.strip():
        return user_path(chosen, where=ROOT_VARIABLE).absolute()
    import platformdirs

    return platformdirs.user_cache_path("kokoro-bench", appauthor=False)
