"""What the commands measure where no model is named, and that they say so."""

import json
from pathlib import Path

import pytest

from harness.models import default
from tests.conftest import Command

REASON = "The replica was measured, not Kokoro itself: kokoro-v1.0-int8 is not here, and KOKORO_BENCH_OFFLINE is set"
SHORT = ("--launches", "1", "--warmups", "1", "--blocks", "1")


@pytest.fixture(autouse=True)
def small_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small replica in place of the full one, which takes half a minute to build."""
    monkeypatch.setattr(default, "REPLICA", "replica-small")
    monkeypatch.setattr(default, "_refused", {})


def test_run_without_source_says_first_why_the_replica_is_measured(here: Command, tmp_path: Path) -> None:
    arguments = (
        "-k",
        "test_text_lengths and not u8",
        "--text",
        "one-word",
        "--json",
        "run.json",
        "--summary",
        "run.md",
    )
    found = here("run", *SHORT, *arguments)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[0].startswith(REASON)
    assert REASON in json.loads((tmp_path / "run.json").read_text())["benchmarks"][0]["extra_info"]["note"]
    assert REASON.replace("_", "\\_") in (tmp_path / "run.md").read_text()
    page = (tmp_path / "reports/site/index.html").read_text()
    assert (
        REASON in page[page.index('<header class="verdict') : page.index("</header>", page.index('<header class="v'))]
    )


def test_run_with_named_replica_says_nothing(here: Command) -> None:
    found = here("run", *SHORT, "--model", "replica-small", "-k", "test_text_lengths", "--text", "one-word")
    assert found.returncode == 0, found.stderr
    assert "not Kokoro itself" not in found.stdout


def test_listing_downloads_nothing(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "obtain_default", pytest.fail)
    found = here("run", "--", "--collect-only")
    assert "replica-small.cpu.tdefault/whole/chars-60/af_heart" in found.stdout


def test_duel_of_named_models_downloads_nothing(here: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default, "obtain_default", pytest.fail)
    found = here("duel", "model=replica-smal", "model=replica-small")
    assert "did you mean 'replica-small'" in found.stderr


def test_duel_of_settings_says_why_the_replica_is_measured(here: Command) -> None:
    found = here("duel", "threads=1", "threads=1", "--text", "one-word", "--budget", "1s", "--blocks", "1")
    assert found.stdout.startswith(REASON), found.stderr
