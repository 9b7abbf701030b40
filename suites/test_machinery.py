"""The engine's own machinery, one piece at a time, beside kokoro-onnx as it comes: the project's engine by sentence.

In process, and behind the project's own server (the engine `kokoro-server`, started for the run). Many listeners of
both: `test_concurrency.py`. A server that runs already is measured by `--url`.
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
    """The first sound after a short piece, the rest ahead of the listener; `create_stream` beside it."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-200",), recipes=(), changes=DIALECTS)
def test_dialects(measured: Measured, benchmark: Benchmark) -> None:
    """The server asked in either dialect: the words of a request cost nothing."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-900",), recipes=(), changes=SESSIONS)
def test_two_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """One session of all threads, and two that share them: a text's pieces side by side."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-900",), recipes=(), changes=SERVED_SESSIONS)
def test_two_sessions_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """The same behind HTTP: the memory is the server's."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-900",), recipes=(), changes=FURTHER_SESSIONS)
def test_more_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """Four and eight, each with a model of its own in memory."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, full=("chars-200",), recipes=(), changes=CACHE)
def test_cache_hits(measured: Measured, benchmark: Benchmark) -> None:
    """The text that the warm-up has spoken already: every repetition is a hit where there is a cache."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.STREAM, nightly=("chars-200",), recipes=(), changes=SERVED_CACHE)
def test_cache_hits_of_the_server(measured: Measured, benchmark: Benchmark) -> None:
    """What a hit costs a listener, the way over the network included."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-200",), recipes=(), changes=CACHE, variant=None)
def test_cache_misses(measured: Measured, benchmark: Benchmark) -> None:
    """Another text in each block: what a cache costs where it does not help."""
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
    """So many equal requests in one moment, for a text that is not there yet: computed once, and the same for all."""
    measured.replay(benchmark)
    measured.check()


@scenarios(Mode.WHOLE, nightly=("chars-200",), recipes=(), changes=ARENA)
def test_arena_of_two_sessions(measured: Measured, benchmark: Benchmark) -> None:
    """What two arenas keep, against what doing without costs."""
    measured.replay(benchmark)
    measured.check()
