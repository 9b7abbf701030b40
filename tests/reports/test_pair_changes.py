"""The change of a latency pair by pair is one figure, wherever a page or the terminal shows it."""

import re
from pathlib import Path

from reports.text.format import NARROW
from tests.conftest import Command


def test_the_table_of_arms_shows_the_change_that_the_verdict_of_the_duel_has(here: Command, tmp_path: Path) -> None:
    arms = ("model=scripted-8bit", "model=scripted", "--script", "noise=0.2")
    ended = here("duel", *arms, "--engine", "scripted", "--launches", "2")
    printed = re.search(r"^ chars-60 +latency +(\S+) %", ended.stdout, re.MULTILINE)
    assert printed, ended.stderr
    (page,) = (tmp_path / "reports/site/runs").glob("*.html")
    table = page.read_text(encoding="utf-8").partition("side by side</h2>")[2].partition("</table>")[0]
    cells = [re.sub(r"<[^>]+>", "", cell).replace(NARROW, " ").strip() for cell in re.findall(r"<td.*?</td>", table)]
    assert f"{printed[1]} %".replace("-", "−") in cells
