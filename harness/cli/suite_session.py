"""The pytest session of `kokoro-bench run`: pytest runs the suites, and the command reports the result.

A user's pytest settings are meant for their own tests. So pytest gets no settings file, no PYTEST_… variable, no
installed plugin, and no conftest.py above the suites.
"""

import io
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.errors import BenchError, ExitCode, Interruption, UsageError
from harness.runner.pytest_plugin import BENCH, COMMAND, STOPPED, Bench

INFORMING = ("help", "showfixtures", "show_fixtures_per_test", "markers", "setupshow", "setuponly", "setupplan")
"""Options of pytest that are given to read what it then prints."""
PREFIX = "PYTEST_"
REMEDY = "what follows -- goes to pytest: kokoro-bench run -- --help"


def own_settings(*, root: Path, suites: Path) -> list[str]:
    """The arguments that make a session independent of the user's: options that follow may still change it."""
    return [
        # The location of the suites does not tell the user's working directory.
        *("--rootdir", str(root), "-c", os.devnull, "--confcutdir", str(suites)),
        # A file beside a suite must not shadow a package.
        "--import-mode=importlib",
        *("-p", "no:cacheprovider", "--no-header"),
        # Otherwise pytest-benchmark creates a directory in the user's working directory.
        f"--benchmark-storage=file://{root / '.kokoro-bench' / 'pytest-benchmark'}",
    ]


class SuiteSession:
    """A plugin of pytest that learns how the session ended."""

    def __init__(self, *, quiet: bool) -> None:
        """`quiet`: nothing that pytest says is shown."""
        self._quiet = quiet
        self.error: BaseException | None = None
        """What a hook of a plugin, or of ours, raised."""
        self._stopped: BaseException | None = None
        self._config: pytest.Config | None = None
        self.__name__ = COMMAND
        """The name under which pytest registers this plugin and the other plugin finds it."""

    def play(self, arguments: Sequence[str]) -> int:
        """Run pytest and return its status, which `code` converts. Raises what kept it from running."""
        import pytest_benchmark.plugin

        import harness.runner.pytest_plugin

        with _own_environment():
            sys.stdout.flush()
            # As modules: by name, pytest would complain that they are imported already.
            try:
                return int(
                    pytest.main([*arguments], plugins=[self, harness.runner.pytest_plugin, pytest_benchmark.plugin])
                )
            except Exception as error:
                if self.bench is None or self.bench.finished is None:
                    raise
                self.error = error
                return pytest.ExitCode.INTERNAL_ERROR

    @property
    def bench(self) -> Bench | None:
        """What the session measured; None where pytest only gave information."""
        return self._config.stash.get(BENCH, None) if self._config else None

    def code(self, status: int) -> ExitCode:
        """The exit code of a session that ended with pytest's `status`. Raises why nothing was measured."""
        bench = self.bench
        if self.error is not None:
            if bench is None or bench.finished is None:
                raise self.error
            # A regression is reported even if something else went wrong.
            return ExitCode.WORSE if bench.finished.code is ExitCode.WORSE else ExitCode.INTERNAL
        if bench is None:
            return ExitCode.OK if status == pytest.ExitCode.OK else ExitCode.USAGE
        if bench.failure is not None:
            raise bench.failure
        if self._stopped is not None:
            return self._interrupted(bench)
        if bench.finished is not None:
            return bench.failures.code(bench.finished.code)
        if status == pytest.ExitCode.NO_TESTS_COLLECTED or (status == pytest.ExitCode.OK and self._nothing_done(bench)):
            raise UsageError(
                "nothing was measured", where="run", remedy="kokoro-bench run -- --collect-only lists what there is"
            )
        return bench.failures.code(ExitCode.OK)

    def _interrupted(self, bench: Bench) -> ExitCode:
        if bench.failures.collecting and bench.finished is None:
            more = len(bench.failures.collecting) - 1
            others = f" (and {more} more)" if more else ""
            raise UsageError(
                f"cannot be collected: {bench.failures.collecting[0]}{others}",
                where="suites",
                remedy="fix it; nothing was measured",
            )
        if bench.finished is None:
            raise Interruption(str(self._stopped) or STOPPED)
        return ExitCode.INTERRUPTED

    def _nothing_done(self, bench: Bench) -> bool:
        """Whether scenarios were selected but every test that uses them was skipped."""
        option = self._config.option if self._config else None
        return bool(bench.gathered) and not (option and (option.collectonly or option.setupplan))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_parse(self) -> Generator[None, pytest.Config | None, pytest.Config | None]:
        """Options and plugins that pytest cannot use."""
        with _as_usage("UsageError", "ConftestImportFailure", "PluginImportFailure", "ImportError"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        """Expressions, paths and files that pytest cannot use."""
        self._config = config
        with _as_usage("UsageError", "ConftestImportFailure"):
            return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Replace pytest's reporter with ours."""
        standard = config.pluginmanager.get_plugin("terminalreporter")
        if standard is None:
            return

        class Reporter(type(standard)):  # type: ignore[misc]  # pytest exports it since 8.4 only
            """Leaves errors to the command."""

            def pytest_internalerror(self) -> bool:
                """Print nothing: the command reports the error once."""
                return True

        config.pluginmanager.unregister(standard)
        asked = any(config.getoption(name, default=False) for name in INFORMING)
        file = sys.stdout if asked or not self._quiet else io.StringIO()
        config.pluginmanager.register(Reporter(config, file), "terminalreporter")

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
        """Whatever a hook of a plugin, or of ours, raised."""
        self.error = excinfo.value
        if isinstance(self.error, SystemExit):
            self.error = UsageError(
                f"a suite or a plugin called sys.exit({self.error.code!r})", where="suites", remedy="take it out"
            )
        return True

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C, `pytest.exit` of a suite, or errors of collecting."""
        self._stopped = excinfo.value


@contextmanager
def _as_usage(*names: str) -> Iterator[None]:
    """Convert pytest's usage errors: pytest prints them on several lines and uses other exit codes.

    `names` are names of pytest's exceptions: it exports only some, and some exist only in newer versions.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        if not {kind.__name__ for kind in type(error).__mro__} & {*names}:
            raise
        message = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        # pytest prints its usage before the error, and the path of its settings after it.
        message = message.rpartition("error: ")[2].partition(" inifile: ")[0]
        raise UsageError(message, where="pytest", remedy=REMEDY) from error


@contextmanager
def _own_environment() -> Iterator[None]:
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    for name in before:
        del os.environ[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            del os.environ[name]
        os.environ.update(before)
