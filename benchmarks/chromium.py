"""Times a page in headless Chromium until it is loaded and drawn once."""

import shutil
from pathlib import Path
from statistics import median

_TRIES = 5
_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_COMPLETE = """() => new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""


def index_complete(page: Path) -> str:
    """Seconds from the navigation to the first frame after the load event, or why they are unknown."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured: Playwright is not installed (pip install 'kokoro-bench[test]')"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        return "not measured: no chromium on the path (apt-get install chromium)"
    times = []
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=list(_ARGUMENTS))
        for _ in range(_TRIES):
            tab = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
            tab.goto(page.as_uri(), wait_until="load")
            times.append(tab.evaluate(_COMPLETE) / 1000)
            tab.close()
        browser.close()
    return f"complete after {median(times):.2f} s (median of {_TRIES}, the slowest {max(times):.2f} s)"
