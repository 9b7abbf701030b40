"""Every page in headless Chromium: from a file, offline, at two widths, in light and dark, and what the script does."""

import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from benchmarks.synthetic_history import made_run
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode
from harness.core.records.speech import EditCounts, SpeechKind
from harness.plan.matrix import ScenarioRequest
from harness.store.runs import open_store
from reports.history.context import Context
from reports.pages.rendering import write
from reports.pages.write import write_run_page, write_site
from reports.views.compare import compare_html, comparison_of_runs
from tests.conftest import Laboratory

from .alert_samples import every_kind
from .conftest import SMALL, keep
from .spoken import plant, reading, spoken_run, verdict

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)
PAPER = 1030
"""Pixels across A4 paper that lies on its side, within the margins of the style sheet."""
SINGLE = ("single.html", "hostile.html", "failed.html", "compare.html", "wide/trends.html")
SPOKEN = ("spoken.html", "variants.html", "variant.html")
WIDE = replace(SMALL, classes=("tiny", "short", "medium", "long", "page", "chapter"), launches=1, blocks=2)
"""As many texts as the nightly selection has."""
ARGUMENTS = (
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, hostile: RunData, all_failed: RunData) -> dict[str, Path]:
    """A site with a regression in it, and single pages: ordinary, hostile, failed, a comparison."""
    directory = tmp_path_factory.mktemp("pages")
    with open_store(directory / "results.sqlite") as store:
        for night in range(18, 24):
            keep(store, made_run(SMALL, night))
        alerts = tuple(every_kind(made_run(SMALL, 23)))
        site = write_site(store, directory / "site", context=Context(alerts=alerts)).parent
    with open_store(directory / "wide.sqlite") as store:
        keep(store, made_run(WIDE, 18))
        write_site(store, directory / "wide")
    write_run_page(made_run(SMALL, 30), directory / "single.html")
    write_run_page(hostile, directory / "hostile.html")
    write_run_page(all_failed, directory / "failed.html")
    write(directory / "compare.html", compare_html(comparison_of_runs(made_run(SMALL, 19), made_run(SMALL, 21))))
    lab = Laboratory(tmp_path_factory.mktemp("lab"))
    requests = (ScenarioRequest(mode=Mode.WHOLE, texts=("chars-60",)),)
    lab.run(requests=requests, model="scripted,scripted-8bit", launches="2")
    with open_store(lab.config().results) as store:
        write_site(store, lab.root / "site", context=Context(audio=lab.config().audio))
    (sounding,) = (lab.root / "site" / "scenarios").glob("scripted-8bit*.html")
    shutil.copy(sounding, directory / "sound.html")
    spoken_pages(directory)
    found = {str(file.relative_to(site)): file for file in [*sorted(site.glob("*.html")), *_some(site)]}
    return found | {name: directory / name for name in (*SINGLE, "sound.html", *SPOKEN)}


def spoken_pages(directory: Path) -> None:
    """Runs whose speech was judged, one scenario of each as broken: of many and few variants, and that of one."""
    for number, name in ((12, "spoken.html"), (3, "variants.html"), (1, "variant.html")):
        data = spoken_run({f"kokoro-v1.0-dq-variant-{each}": 0.03 * each for each in range(number)})
        last = data.run.scenarios[-1]
        wrong = reading(last, transcript="A quick box " + "x" * 300, words=EditCounts(reference=13, substituted=12))
        broken = verdict(last, SpeechKind.BROKEN, "12 of 13 words are not those of the original")
        folder = directory / f"spoken-{number}"
        levels = {each.arm.model.name: -20.0 for each in data.run.scenarios[2:] if each.arm.model}
        plant(data, folder, levels=levels, readings=(wrong,), verdicts=(broken,))
        if number > 1:
            write_run_page(data, directory / name, context=Context(audio=folder))
            continue
        with open_store(directory / "spoken.sqlite") as store:
            keep(store, data)
            write_site(store, directory / "spoken-site", context=Context(audio=folder))
        (page,) = (directory / "spoken-site" / "scenarios").glob("*variant-0*short*.html")
        shutil.copy(page, directory / name)


def _some(site: Path) -> Iterator[Path]:
    """Of the pages that one template makes for many things, the first and the last."""
    for folder in ("runs", "scenarios", "trends", "alerts"):
        every = sorted((site / folder).glob("*.html"))
        yield from dict.fromkeys((every[0], every[-1]))


def open_page(
    browser: Any, file: Path, *, width: int = 1280, scheme: str = "light", script: bool = True, bypass: bool = False
) -> Any:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        java_script_enabled=script,
        offline=True,
        bypass_csp=bypass,
    )
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on(
        "request", lambda request: request.url == page.asked_for or page.complaints.append(f"asked for {request.url}")
    )
    go_to(page, file)
    return page


def go_to(page: Any, file: Path) -> None:
    page.asked_for = file.as_uri()
    page.goto(page.asked_for)


def each_page(browser: Any, pages: dict[str, Path], **options: Any) -> Iterator[tuple[str, Any]]:
    """Every page in turn, in one tab, with all that can be unfolded unfolded."""
    page = open_page(browser, next(iter(pages.values())), **options)
    for name, file in pages.items():
        go_to(page, file)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        yield name, page
    page.context.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_without_a_complaint_a_request_or_a_horizontal_scroll(
    browser: Any, pages: dict[str, Path], width: int
) -> None:
    for name, page in each_page(browser, pages, width=width):
        assert page.complaints == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("h1").count() == 1, name


def test_the_table_of_arms_fits_whatever_its_values_are_held_against(browser: Any, pages: dict[str, Path]) -> None:
    """Values such as `0.00 dB (against replica-small)` once made a duel's page 1579 pixels wide."""
    page = open_page(browser, pages["single.html"], bypass=True)
    every = "document.querySelectorAll('.arms td.figure')"
    page.evaluate(f"for (const each of {every}) each.textContent = '0.00 dB (against r-small)'")
    assert page.locator(".arms td.figure").count() > 10
    for width in (390, 860, 900, 1000, 1101, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


def test_light_and_dark_are_both_legible(browser: Any, pages: dict[str, Path]) -> None:
    for name, page in each_page(browser, pages):
        for scheme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 23, 26)")):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
            worst = page.evaluate(CONTRAST)
            assert worst["ratio"] >= 4.5, (name, scheme, worst)


def test_paper_is_white_and_as_wide_as_a_table(browser: Any, pages: dict[str, Path]) -> None:
    for name in ("single.html", "wide/trends.html", "compare.html"):
        page = open_page(browser, pages[name], width=PAPER, scheme="dark")
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER, name
        assert page.locator("table thead").first.is_visible(), "a table, not a list of cards"
        assert not page.locator(".controls").first.is_visible()
        page.context.close()


CONTRAST = """() => {
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  let worst = {ratio: 21};
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest("script, style, .skip, .tip") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const colour = parse(element.closest("svg") ? style.fill : style.color).slice(0, 3);
    const [a, b] = [luminance(colour), luminance(behind(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = {ratio, text: element.textContent.slice(0, 60), css: element.className};
  }
  return worst;
}"""


def test_a_column_sorts_both_ways_by_value_from_the_keyboard(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["single.html"])
    table = page.locator("table.matrix").first
    index = 1 + [text.split("\n")[0] for text in table.locator("thead th").all_inner_texts()].index("Latency")
    head = table.locator(f"thead th:nth-child({index})")
    cells = f"tbody tr td:nth-child({index})"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    rising = [float(each) for each in table.locator(cells).evaluate_all("all => all.map(e => e.dataset.sort || NaN)")]
    known = [value for value in rising if value == value]  # noqa: PLR0124 - NaN: not known
    assert known == sorted(known)
    assert rising[: len(known)] == known, "what is not known comes last"
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    falling = [float(each) for each in table.locator(cells).evaluate_all("all => all.map(e => e.dataset.sort || NaN)")]
    assert falling[: len(known)] == known[::-1]
    assert page.complaints == []
    page.context.close()


def test_rows_are_filtered_by_words_and_by_verdict(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["single.html"])
    rows = page.locator("table.matrix").first.locator("tbody tr")
    everything = rows.count()
    page.locator("input[type=search]").first.fill("medium whole")
    visible = [row for row in rows.all() if row.is_visible()]
    assert 0 < len(visible) < everything
    assert page.locator(".controls output").first.inner_text() == f"{len(visible)} of {everything}"
    assert all("medium, whole" in row.inner_text() for row in visible)
    page.locator("input[type=search]").first.fill("")
    page.locator(".controls select").first.select_option("worse")
    visible = [row for row in rows.all() if row.is_visible()]
    assert [row.locator("th").inner_text().split("\n")[0] for row in visible] == ["medium, whole"]
    page.context.close()


def test_pointing_at_a_repetition_shows_its_value(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["single.html"])
    mark = page.locator(".strip use").first
    mark.scroll_into_view_if_needed()
    mark.hover()
    assert "launch 1, block" in page.locator(".tip").inner_text()
    page.mouse.move(2, 2)
    assert not page.locator(".tip").is_visible()
    page.context.close()


def test_pointing_at_a_trend_shows_the_run_there(browser: Any, pages: dict[str, Path]) -> None:
    name = next(name for name in pages if name.startswith("trends/"))
    page = open_page(browser, pages[name])
    chart = page.locator("svg.trend").first
    chart.hover(position={"x": 4, "y": 50})
    assert re.fullmatch(r"2026-01-18: [\d.]+\u202f\S+", page.locator(".tip").inner_text())
    width = chart.bounding_box()["width"]
    chart.hover(position={"x": width - 4, "y": 50})
    now = page.locator(".trend-row b").first.inner_text()
    assert page.locator(".tip").inner_text() == f"2026-01-23: {now}"
    page.mouse.move(2, 2)
    assert not page.locator(".tip").is_visible()
    assert page.complaints == []
    page.context.close()


def await_truth(page: Any, expression: str) -> None:
    """Playwright's own waiting evaluates in the page, whose policy forbids it."""
    for _ in range(2_400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never became true: {expression}")


def test_one_take_plays_at_a_time_and_a_button_goes_over_to_the_other(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["sound.html"])
    playing = "[...document.querySelectorAll('audio')].map(each => !each.paused)"
    await_truth(page, "[...document.querySelectorAll('audio')].every(each => each.duration > 0.5)")
    # A second of sound is over before a busy machine has looked.
    page.evaluate("for (const each of document.querySelectorAll('audio')) each.loop = true")
    page.evaluate("document.querySelectorAll('audio')[0].play()")
    await_truth(page, "document.querySelectorAll('audio')[0].currentTime > 0")
    assert page.locator("[data-take='0'] .playhead").is_visible()
    page.get_by_role("button", name="Switch to the other").focus()
    page.keyboard.press("Enter")
    await_truth(page, f"{playing}[1]")
    assert page.evaluate(playing) == [False, True]
    await_truth(page, "document.querySelectorAll('audio')[1].currentTime > 0")
    assert page.complaints == []
    page.context.close()


RMS = """async (index) => {
  const player = document.querySelectorAll("audio")[index];
  const bytes = Uint8Array.from(atob(player.src.split(",")[1]), (each) => each.charCodeAt(0));
  const samples = (await new OfflineAudioContext(1, 1, 24000).decodeAudioData(bytes.buffer)).getChannelData(0);
  return player.volume * Math.sqrt(samples.reduce((sum, each) => sum + each * each, 0) / samples.length);
}"""
"""What a player plays: the samples that the browser decodes, at the player's volume."""


def test_the_gain_that_is_shown_is_the_one_that_the_browser_plays(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["variant.html"])
    shown = [re.search(r"gain ([+\u2212]?[\d.]+)", text) for text in page.locator(".player").all_inner_texts()]
    gains = [float(each[1].replace("\u2212", "-")) for each in shown if each]
    assert gains == [0.0, -3.0], "the original has -23 LUFS, the variant -20"
    heard = [20 * math.log10(page.evaluate(RMS, index)) for index in (0, 1)]
    assert heard[0] == pytest.approx(heard[1], abs=0.05)
    kept = [-23.0, -20.0]  # of a tone, RMS and loudness are the same
    assert [now - was for now, was in zip(heard, kept, strict=True)] == pytest.approx(gains, abs=0.05)
    assert page.complaints == []
    page.context.close()


def test_labels_of_twelve_variants_do_not_overlap(browser: Any, pages: dict[str, Path]) -> None:
    for width, shown in ((1280, "wide"), (900, "wide"), (390, "narrow")):
        page = open_page(browser, pages["spoken.html"], width=width)
        boxes = page.locator(f".trade-off .plot.{shown} text").evaluate_all(
            "all => all.map(each => each.getBoundingClientRect().toJSON())"
        )
        assert len(boxes) >= 13
        for one, other in combinations(boxes, 2):
            apart = one["x"] + one["width"] <= other["x"] + 1 or other["x"] + other["width"] <= one["x"] + 1
            # A line of text is higher than its letters.
            below = one["y"] + 0.8 * one["height"] <= other["y"] or other["y"] + 0.8 * other["height"] <= one["y"]
            assert apart or below, (width, one, other)
        assert max(box["x"] + box["width"] for box in boxes) <= width
        page.context.close()


def test_without_script_everything_is_there(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["single.html"], script=False)
    assert page.locator("table.matrix tbody tr").count() > 3
    assert page.locator(".strip use").count() > 20
    assert page.locator("button").count() == 0, "no control that does nothing"
    page.context.close()


def test_hostile_names_run_nothing(browser: Any, pages: dict[str, Path]) -> None:
    page = open_page(browser, pages["hostile.html"], width=390)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert page.complaints == []
    assert "<script>alert(1)</script>" in page.locator("body").inner_text()
    page.context.close()


def test_axe_finds_no_serious_violation(browser: Any, pages: dict[str, Path]) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    # A single page is what a site's page of that run is, with another frame: hostile.html is one. Of two runs the later
    # has all that the earlier has.
    again = {"single.html", "wide/trends.html", min(name for name in pages if name.startswith("runs/"))}
    # One page of each template. Colours cost axe most of its time, most of all twelve variants; the contrast of every
    # other page, and in the dark, is what test_light_and_dark_are_both_legible looks at.
    scenario, trend = ([name for name in pages if name.startswith(folder)][-1] for folder in ("scenarios/", "trends/"))
    coloured = {name for name in pages if "/" not in name} - again - {"hostile.html", "spoken.html"} | {scenario, trend}
    assert coloured > {"index.html", "trends.html", "compare.html", "failed.html", "sound.html", "variants.html"}
    looked_at = {name: file for name, file in pages.items() if name not in again}
    for name, page in each_page(browser, looked_at, bypass=True):
        page.evaluate(axe)
        options = {"reporter": "no-passes", "rules": {"color-contrast": {"enabled": name in coloured}}}
        violations = page.evaluate("options => axe.run(options).then(found => found.violations)", options)
        serious = [
            (each["id"], [node["html"][:120] for node in each["nodes"][:3]])
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == [], name
