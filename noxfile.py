"""The project's sessions: `python3 noxfile.py -s bench` needs nothing but Python 3.11 and git, and installs the rest.

With nox installed, plain `nox -s bench` does the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOTSTRAP = HERE / ".nox" / "bootstrap"
LOCK = "requirements.lock"
CORES = os.cpu_count() or 1
# Most tests wait for a server, a clock or a process for half of their time. The order is that of tests/order.py.
IN_PARALLEL = (f"--numprocesses={CORES + min(CORES, 4)}", "--dist=loadfile", "--no-loadscope-reorder")
SAME_EACH_TIME = {"PYTHONHASHSEED": "0"}
OLDEST = (3, 11)
WORDS = "docs/words.txt"
A_WORD = "[A-Z]+(?![a-z])|[A-Z]?[a-z]+"
"""A word of prose, and each part of an identifier."""
WORDED = ("harness", "reports", "suites", "benchmarks", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
NOT_WORDED = f"{WORDS},reports/site"
"""The list itself, and what `nox -s bench` writes."""

# uv brings certificates of its own; a company's proxy is known to the system's alone.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
# Images that run Python in containers set this. The tests start hundreds of Python processes, and each would compile
# every module that it imports: half of the suite's CPU time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def bootstrap() -> None:
    """Run nox from an environment of its own, made when it is first needed."""
    if sys.version_info < OLDEST:
        sys.exit(f"kokoro-bench needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}")
    python = BOOTSTRAP / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    arguments = ["-m", "nox", "-f", str(HERE / "noxfile.py"), *sys.argv[1:]]
    if (
        subprocess.run([python, "-m", "nox", "--version"], capture_output=True, check=False).returncode
        if python.exists()
        else True
    ):
        sys.stderr.write("Installing nox (once) …\n")
        try:
            import venv

            venv.create(BOOTSTRAP, with_pip=True, clear=True)
        except (ImportError, subprocess.CalledProcessError):
            sys.exit("this Python has no venv or no pip — on Debian and Ubuntu: apt-get install python3-venv")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "nox[uv]>=2024.10"]
        if subprocess.run(install, check=False).returncode:
            sys.exit("nox could not be installed; pip's reason stands above — pip install nox, then nox -s bench")
    sys.exit(subprocess.run([str(python), *arguments], check=False).returncode)


try:
    import nox
except ImportError:
    if __name__ != "__main__":
        raise
    bootstrap()
else:
    if __name__ == "__main__":
        sys.exit(nox.main())

    nox.needs_version = ">=2024.10"
    nox.options.default_venv_backend = "uv|virtualenv"
    nox.options.reuse_existing_virtualenvs = True
    nox.options.sessions = ["lint", "tests"]

    def install(session: nox.Session) -> None:
        """Exactly the locked packages, then the project itself from this tree."""
        session.install("--quiet", "--require-hashes", "-r", LOCK)
        session.install("--quiet", "--no-deps", "-e", ".")

    def compile_tests(session: nox.Session) -> None:
        """In a fresh checkout, let one process compile all that tests import; otherwise each parallel process does."""
        if not session.posargs and not any((HERE / "tests" / "__pycache__").glob("conftest.*-pytest-*")):
            session.run("pytest", "--collect-only", "-qq", silent=True)

    @nox.session
    def bench(session: nox.Session) -> None:
        """Measure the suites: quick by default; `-- --full`, `-- --nightly`, and every option of kokoro-bench run."""
        install(session)
        session.run("kokoro-bench", "run", *session.posargs)

    @nox.session
    def tests(session: nox.Session) -> None:
        """The project's own tests, file by file on all cores; `-- -n 0` runs them in one process."""
        install(session)
        compile_tests(session)
        session.run("pytest", *IN_PARALLEL, "--timeout=300", *session.posargs, env=SAME_EACH_TIME)

    @nox.session
    def exhaustive(session: nox.Session) -> None:
        """The tests that take minutes each; the session `tests` leaves them out."""
        install(session)
        session.run("pytest", "-m", "exhaustive", *IN_PARALLEL, "--timeout=1800", *session.posargs, env=SAME_EACH_TIME)

    @nox.session
    def steady(session: nox.Session) -> None:
        """Play the tests ten times while busy processes want every core: is the verdict the same each time?"""
        install(session)
        session.run("python", "tests/steady.py", *IN_PARALLEL, "--timeout=900", *session.posargs, env=SAME_EACH_TIME)

    @nox.session
    def fuzz(session: nox.Session) -> None:
        """Search for counterexamples at random, ten times as long as the tests do, and keep those that are found."""
        install(session)
        chosen = ("-m", "hypothesis", "--hypothesis-profile=fuzz")
        session.run("pytest", *chosen, *IN_PARALLEL, "--timeout=3600", *session.posargs)

    @nox.session
    def lint(session: nox.Session) -> None:
        """ruff, mypy --strict, import-linter, codespell, and the list of words that are not to be used."""
        install(session)
        session.run("ruff", "check", ".")
        session.run("ruff", "format", "--check", ".")
        session.run("mypy")
        session.run("lint-imports")
        session.run("codespell", ".")
        session.run("codespell", "--dictionary", WORDS, "--skip", NOT_WORDED, "--regex", A_WORD, *WORDED)

    @nox.session
    def mutants(session: nox.Session) -> None:
        """Check that the tests notice changes of the code; modules choose: `-- harness/analysis/gate.py`."""
        install(session)
        session.install("--quiet", "mutmut==3.8.1")
        session.run("python", "tests/mutation/run.py", "--work", f"{session.create_tmp()}/work", *session.posargs)

    @nox.session
    def report(session: nox.Session) -> None:
        """Write the report of the stored runs."""
        install(session)
        session.run("kokoro-bench", "report", *session.posargs)

    @nox.session
    def perf(session: nox.Session) -> None:
        """The project's own benchmarks; names choose from them: `-- store overhead`."""
        install(session)
        session.run("python", "-m", "benchmarks", *session.posargs)
