"""Files that pytest is asked to write, so that none of ours is the same file."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

BENCHMARK_JSON = "--benchmark-json"
_DESTINATIONS = {"--junitxml": "xmlpath", "--log-file": "log_file", BENCHMARK_JSON: "benchmark_json"}
"""Option of pytest or of a plugin → the name of its value."""
_ALSO = {"--junitxml": ("--junit-xml",)}
"""Option → other spellings of it."""


def files_of_options(options: Namespace) -> Mapping[str, Path]:
    """The files of a pytest session by option, from its parsed options."""
    given = {option: getattr(options, name, None) for option, name in _DESTINATIONS.items()}
    # pytest-benchmark opens its file when it parses its options.
    named = {option: getattr(value, "name", value) for option, value in given.items()}
    return {option: Path(value) for option, value in named.items() if isinstance(value, str) and value}


def files_of_arguments(arguments: Sequence[str]) -> Mapping[str, Path]:
    """The same from arguments of pytest. What pytest cannot read, it refuses itself."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option, name in _DESTINATIONS.items():
        parser.add_argument(option, *_ALSO.get(option, ()), dest=name, nargs="?")
    options, _ = parser.parse_known_args([*arguments])
    return files_of_options(options)
