"""The features of the project's engine by sentence, one at a time, compared with plain kokoro-onnx.

They run in process and behind the project's server (the engine `kokoro-server`, started for the run).
`test_concurrency.py` measures both under concurrent requests. `--url` measures a running server.
"""

from harness.core.records.scenario import Mode
from harness.runner.pytest_fixture import Benchmark, Measured
from harness.runner.pytest_marker import scenarios

BY_SENTENCE = ("current", "engine=kokoro-sentences", "engine=kokoro-server")
DIALECTS = ("engine=kokoro-server,dialect=openai", "engine=kokoro-server,dialect=raycast")
SESSIONS = ("engine=kokoro-sentences", "engine=kokoro-sentences,sessions=2")
FURTHER_SESSIONS = ("engine=kokoro-sentences,sessions=4", "engine=kokoro-sentences,sessions=8")
CACHE = ("engine=kokoro-sentences", "engine=kokoro-sentences,cache=64")
CACHES = ("engine=kokoro-sentences,cache=64", "engine=kokoro-server,cache=64")
STAMPEDE = 32
SERVED_CACHE = ("engine=kokoro-server", "engine=kokoro-server,cache=64")
SERVED_SESSIONS = ("engine=kokoro-server", "engine=kokoro-server,sessions=2")
ARENA = (
    "engine=kokoro-sentences,sessions=2",
    "engine=kokoro-sentences,sessions=2,arena=off",
    "engine=kokoro-sentences,sessions=2,arena_shrink=on",
)


@scenarios(Mode.STREAM, full=("chars-200", "chars-900"), recipes=(), changes=BY_SENTENCE)
def test_streaming_by_sentence(measured: Measured, benchmark: Benchmark) -> None:
    """First sound after a short segment, the rest ahead of playback, compared with `create_stream`."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-200",), recipes=(), changes=DIALECTS)
def test_dialects(measured: Measured, benchmark: Benchmark) -> None:
    """The server in either dialect. The dialect should make no difference."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-900",), recipes=(), changes=SESSIONS)
def test_two_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """One session with all threads, and two that share them and synthesise a text's segments in parallel."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-900",), recipes=(), changes=SERVED_SESSIONS)
def test_two_sessions_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """The same behind HTTP. The memory is the server's."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-900",), recipes=(), changes=FURTHER_SESSIONS)
def test_more_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """Four and eight sessions, each with its own model in memory."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-200",), recipes=(), changes=CACHE)
def test_cache_hits(measured: Measured, benchmark: Benchmark) -> None:
    """The text of the warm-up: with a cache every repetition is a hit."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-200",), recipes=(), changes=SERVED_CACHE)
def test_cache_hits_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """The latency of a hit, including the network."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-200",), recipes=(), changes=CACHE, variant=None)
def test_cache_misses(measured: Measured, benchmark: Benchmark) -> None:
    """Another text in each block: the cost of a cache that does not help."""
    measured.replay(benchmark)
    measured.check()


@scenarios(
    Mode.STREAM,
    full=("chars-60",),
    recipes=(),
    variant=None,
    changes=CACHES,
    concurrencies=(STAMPEDE,),
    stampede=True,
)
def test_stampede(measured: Measured, benchmark: Benchmark) -> None:
    """Equal concurrent requests for a text that is not cached yet: it is computed once for all."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-200",), recipes=(), changes=ARENA)
def test_arena_of_two_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """The memory of two arenas, and the cost of shrinking or disabling them."""
    measured.replay(benchmark)
    measured.check()
