"""Mutation check: does a test fail when the product is changed? `nox -s mutants [-- harness/analysis/gate.py …]`.

mutmut changes one operator, number, argument or branch at a time, inside functions. A mutant is dead when mypy or
one of the tests that `plan.toml` names for its module fails. A survivor is an error unless `may_live.toml` holds it
with a reason.

Left out: texts for people (string literals with a space, changes of case), and what mutmut itself leaves out
(decorated functions, module and class level). A module with more mutants than `most` is sampled with a fixed seed;
the table says so.

Exit code: 0 no new survivor; 1 new survivors; 2 a module without a plan, or a run that mutmut could not finish.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# mutmut's exit codes of one mutant's test run, as its `stats.status_by_exit_code` reads them.
STATUS = {
    **dict.fromkeys((1, 3), "killed"),
    **dict.fromkeys((0, 5, 33), "survived"),
    37: "mypy",
    **dict.fromkeys((-24, 24, 36, 152, 255), "timeout"),
}

# Checks of mypy that report how code is written, not that it is wrong: a mutant caught by them alone is not caught.
STYLE_CHECKS = ("warn_unreachable", "enable_error_code")

# pytest is started once for each mutant: without these it starts in a third of the time.
NOT_NEEDED = ("cacheprovider", "doctest", "faulthandler", "junitxml", "threadexception", "unraisableexception")


class UnfinishedError(Exception):
    """mutmut ended before it had tried all that it was asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one module is checked: its tests (pytest's arguments), those to leave out (`-k`), the most mutants to try."""

    module: str
    tests: tuple[str, ...]
    leave_out: str
    most: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change: the function it is in, the line before and after, without indentation."""

    name: str
    function: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.function}\n    - {self.before}\n    + {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pardon:
    """A survivor that may live: `before` and `after` are whole lines; without `function`, anywhere in its module."""

    function: str | None
    before: str
    after: str

    def covers(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        return (self.function in {None, mutant.function}) and (self.before, self.after) == (mutant.before, mutant.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentPardon:
    """Survivors in which nothing but the keyword argument `argument` of a call was changed or left out."""

    argument: str

    def covers(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        given = re.compile(rf"""\b{self.argument}=(?:[\w.]+|f?"[^"]*")(?=\W|$)""")
        before, after = (re.sub(r"[\s,]+", "", given.sub("", line)) for line in (mutant.before, mutant.after))
        return before == after


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one module's mutants."""

    plan: Plan
    made: int
    tried: int
    counts: Counter[str]
    pardoned: tuple[Mutant, ...]
    survivors: tuple[Mutant, ...]
    stale: tuple[Pardon, ...]

    @property
    def score(self) -> float:
        """The share of dead mutants among those that are not pardoned, 0 to 1."""
        counted = self.tried - len(self.pardoned)
        return 1.0 - len(self.survivors) / counted if counted else 1.0


def main(arguments: Sequence[str]) -> int:
    """Check the modules that are named and print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="modules to check; all of plan.toml if none is given")
    parser.add_argument("--work", type=Path, required=True, help="a folder that may be emptied")
    parser.add_argument("--most", type=int, help="the most mutants a module, instead of plan.toml's")
    options = parser.parse_args(arguments)
    plans = read_plans(options.most)
    unknown = [module for module in options.modules if module not in plans]
    if unknown:
        sys.stderr.write(f"no plan for {', '.join(unknown)}; add it to {HERE.name}/plan.toml, or choose from:\n")
        sys.stderr.write("".join(f"  {module}\n" for module in plans))
        return 2
    work = options.work.resolve()
    copy_tree(work)
    outcomes, unfinished = [], []
    for module in options.modules or plans:
        try:
            outcome = check(plans[module], work)
        except UnfinishedError:
            unfinished.append(module)
            continue
        outcomes.append(outcome)
        sys.stdout.write(f"{row(outcome)}\n")
        sys.stdout.writelines(f"  survived: {mutant}\n" for mutant in outcome.survivors)
        sys.stdout.flush()
    found = report(outcomes)
    if unfinished:
        sys.stderr.write(f"mutmut did not finish: {', '.join(unfinished)}\n")
    return 2 if unfinished else found


def read_plans(most: int | None = None) -> dict[str, Plan]:
    """The plans by module, in the file's order."""
    content = tomllib.loads((HERE / "plan.toml").read_text("utf-8"))
    defaults = content["defaults"]
    return {
        entry["path"]: Plan(
            module=entry["path"],
            tests=tuple(entry["tests"]),
            leave_out=" and ".join(f"not {name}" for name in (*defaults["leave_out"], *entry.get("leave_out", ()))),
            most=most or entry.get("most", defaults["most"]),
            seed=defaults["seed"],
        )
        for entry in content["module"]
    }


def read_pardons(module: str) -> tuple[tuple[Pardon, ...], tuple[ArgumentPardon, ...]]:
    """The survivors of a module that may live, and those of any module. Each must have a reason (`why`)."""
    content = tomllib.loads((HERE / "may_live.toml").read_text("utf-8"))
    entries, everywhere = content.get(module, []), content.get("everywhere", [])
    if any(not entry.get("why", "").strip() for entry in (*entries, *everywhere)):
        raise SystemExit(f"may_live.toml: a survivor of {module} has no reason (why = …)")
    pardons = tuple(
        Pardon(function=entry.get("function"), before=entry["before"], after=after)
        for entry in entries
        for after in ([entry["after"]] if isinstance(entry["after"], str) else entry["after"])
    )
    return pardons, tuple(ArgumentPardon(argument=entry["argument"]) for entry in everywhere)


def copy_tree(work: Path) -> None:
    """Copy the files that git knows or would add, as they are now, so that a run is not disturbed by an edit."""
    shutil.rmtree(work, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, work / name)
    settings = work / "pyproject.toml"
    kept = [line for line in settings.read_text("utf-8").splitlines() if not line.startswith(STYLE_CHECKS)]
    settings.write_text("\n".join(kept) + "\n", "utf-8")


def configure(plan: Plan, work: Path) -> None:
    """Write mutmut's configuration of one module, and make the module fit for it."""
    # mutmut leaves decorated functions out, and what a cache holds from before a mutant hides what it does. A cache
    # changes nothing but the speed.
    source = work / plan.module
    uncached = [line for line in source.read_text("utf-8").splitlines() if line.strip() != "@cache"]
    source.write_text("\n".join(uncached) + "\n", "utf-8")
    # mutmut marks its own lines with `type: ignore`. The cache outlives the copy: it saves most of a run on one module.
    mypy = ["mypy", "--output", "json", "--no-warn-unused-ignores", "--cache-dir", str(work.parent / "mypy_cache")]
    # On a busy machine a run takes many times its usual time: the limit is for endless loops.
    values: dict[str, str | Iterable[str]] = {
        "source_paths": "harness",
        "only_mutate": plan.module,
        "also_copy": ["reports", "suites", "baselines", "conftest.py", "docs", "README.md"],
        "pytest_add_cli_args": [
            "--hypothesis-profile=mutants",
            *(f"-pno:{name}" for name in NOT_NEEDED),
            "-k",
            plan.leave_out,
        ],
        "pytest_add_cli_args_test_selection": plan.tests,
        "type_check_command": [*mypy, plan.module],
        "use_setproctitle": "false",
        "use_git_change_detection": "false",
        "timeout_constant": "2",
        "timeout_multiplier": "10",
    }
    lines = ["[mutmut]"]
    for key, value in values.items():
        lines += [f"{key}={value}"] if isinstance(value, str) else [f"{key}=", *(f"    {item}" for item in value)]
    (work / "setup.cfg").write_text("\n".join(lines) + "\n", "utf-8")


def check(plan: Plan, work: Path) -> Outcome:
    """Make a module's mutants, try them (or a sample), and sort what became of them."""
    shutil.rmtree(work / "mutants", ignore_errors=True)
    configure(plan, work)
    made = [mutant for mutant in mutants(plan.module, work) if not is_text(mutant)]
    tried = made
    if len(made) > plan.most:
        chosen = set(random.Random(f"{plan.seed} {plan.module}").sample(range(len(made)), plan.most))  # noqa: S311
        tried = [mutant for number, mutant in enumerate(made) if number in chosen]
    codes = run_mutmut(plan, work, tried)
    states = {mutant: STATUS.get(codes[mutant.name], "timeout") for mutant in tried}
    alive = [mutant for mutant, state in states.items() if state == "survived"]
    pardons, everywhere = read_pardons(plan.module)
    pardoned = tuple(mutant for mutant in alive if any(pardon.covers(mutant) for pardon in (*pardons, *everywhere)))
    return Outcome(
        plan=plan,
        made=len(made),
        tried=len(tried),
        counts=Counter(states.values()),
        pardoned=pardoned,
        survivors=tuple(mutant for mutant in alive if mutant not in pardoned),
        stale=tuple(pardon for pardon in pardons if not any(pardon.covers(mutant) for mutant in made)),
    )


def mutants(module: str, work: Path) -> list[Mutant]:
    """All of a module's mutants, in the file's order, as mutmut will make and name them."""
    os.chdir(work)  # mutmut reads its configuration from the current folder
    from mutmut.configuration import reset_config
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key

    reset_config()
    made = mutate_file_contents(module, Path(module).read_text("utf-8"))
    lines = made.code.splitlines()
    spans = made.line_span_by_function_name

    def source(name: str) -> list[str]:
        # From the body on: the names of the original and of the mutant differ.
        return [line.strip().replace(name, "") for line in lines[spans[name].start - 1 : spans[name].end]]

    found = []
    for name in made.mutant_names:
        key = get_mutant_name(Path(module), name)
        function, owner = orig_function_and_class_names_from_key(key)
        original = source(name.rpartition("__mutmut_")[0] + "__mutmut_orig")
        change = [line for line in difflib.ndiff(original, source(name)) if line[:2] in {"- ", "+ "}]
        found.append(
            Mutant(
                name=key,
                function=f"{owner}.{function}" if owner else function,
                before=" ".join(line[2:] for line in change if line[0] == "-"),
                after=" ".join(line[2:] for line in change if line[0] == "+"),
            )
        )
    return found


def is_text(mutant: Mutant) -> bool:
    """Whether only a text for people was changed."""
    if mutant.before != mutant.after and mutant.before.lower() == mutant.after.lower():
        return True
    return any(" " in text for text in re.findall(r"""["']XX(.*?)XX["']""", mutant.after))


def run_mutmut(plan: Plan, work: Path, tried: Sequence[Mutant]) -> dict[str, int]:
    """Try mutants one after the other; their exit codes by name."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "_hypothesis_pytestplugin,quick_properties",
    }
    command = ["mutmut", "run", "--max-children", "1", *(mutant.name for mutant in tried)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, encoding="utf-8", check=False)
    codes: dict[str, Any] = {}
    results = work / "mutants" / f"{plan.module}.meta"
    if results.exists():
        codes = json.loads(results.read_text("utf-8"))["exit_code_by_key"]
    missing = [mutant.name for mutant in tried if codes.get(mutant.name) is None]
    if done.returncode or missing:
        said = (done.stdout.replace("\r", "\n") + done.stderr).splitlines()
        sys.stderr.write(
            "\n".join(said[-40:]) + f"\n{plan.module}: mutmut did not finish; its last words stand above\n"
        )
        raise UnfinishedError
    return codes


COLUMNS = ("mutants", "tried", "mypy", "tests", "timeout", "may live", "alive", "score")
HEAD = f"{'module':<36}" + "".join(f"{name:>9}" for name in COLUMNS)


def row(outcome: Outcome) -> str:
    """A line of the table: of those tried, how many mypy and the tests noticed, and how many nothing did."""
    counts = outcome.counts
    figures = (
        *(outcome.made, outcome.tried, counts["mypy"], counts["killed"], counts["timeout"]),
        *(len(outcome.pardoned), len(outcome.survivors), f"{outcome.score:.1%}"),
    )
    return f"{outcome.plan.module:<36}" + "".join(f"{figure:>9}" for figure in figures)


def report(outcomes: Sequence[Outcome]) -> int:
    """Print the table, and what in `may_live.toml` no mutant matches any more."""
    sys.stdout.write("\n".join(["", HEAD, *(row(outcome) for outcome in outcomes), ""]))
    for outcome in outcomes:
        for pardon in outcome.stale:
            sys.stdout.write(
                f"may_live.toml: {outcome.plan.module} has no such mutant: {pardon.before} → {pardon.after}\n"
            )
    return 1 if any(outcome.survivors for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
