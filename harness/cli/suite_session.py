"""The pytest session of `kokoro-bench run`: pytest plays the suites, and what it came to is ours to say.

A user's settings of pytest are for their own tests. So pytest gets no settings file, no PYTEST_… variable, no plugin
that happens to be installed, and no conftest.py above the suites.
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
        # Where the suites lie says nothing of where the user is.
        *("--rootdir", str(root), "-c", os.devnull, "--confcutdir", str(suites)),
        # Nothing that lies beside a suite may stand in for a package.
        "--import-mode=importlib",
        *("-p", "no:cacheprovider", "--no-header"),
        # Where pytest-benchmark would otherwise make a directory beside the user's own.
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
        """Under which pytest registers it, and the other plugin finds it."""

    def play(self, arguments: Sequence[str]) -> int:
        """Run pytest; its status, which `code` makes ours. Raises what kept it from running."""
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
            # A regression that was found is a finding, whatever else went wrong.
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
                remedy="mend it; nothing was measured",
            )
        if bench.finished is None:
            raise Interruption(str(self._stopped) or STOPPED)
        return ExitCode.INTERRUPTED

    def _nothing_done(self, bench: Bench) -> bool:
        """Scenarios were chosen, and no test asked for them: each was skipped."""
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
        """Put our reporter in the place of pytest's."""
        standard = config.pluginmanager.get_plugin("terminalreporter")
        if standard is None:
            return

        class Reporter(type(standard)):  # type: ignore[misc]  # pytest exports it since 8.4 only
            """Leaves errors to the command."""

            def pytest_internalerror(self) -> bool:
                """They are told once, by the command."""
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
    """Turn pytest's refusals into ours: its own are printed in several lines, and have other exit codes.

    `names` are those of its exceptions: it exports some of them, and has some in newer versions only.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        if not {kind.__name__ for kind in type(error).__mro__} & {*names}:
            raise
        said = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        # Its usage stands before what is wrong, and where its settings are behind it.
        said = said.rpartition("error: ")[2].partition(" inifile: ")[0]
        raise UsageError(said, where="pytest", remedy=REMEDY) from error


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
