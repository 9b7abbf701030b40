"""The notices of the public model, and of what is made from it, on the page of each run that measures them."""

from dataclasses import replace

from harness.core.records.run import RunData
from harness.core.records.scenario import DEQUANTISED
from harness.models.public import PUBLIC
from reports.views.facts import facts

from .spoken import spoken_run
from .test_pages import Page, html_of

INT8 = next(each.model for each in PUBLIC if each.name == "kokoro-v1.0-int8")


def public_run() -> RunData:
    """The public 8-bit model, the 32-bit one that is made from it, and a file of the user's."""
    data = spoken_run({"kokoro-v1.0-int8": 0.1, "mine": 0.2})
    changes = {
        "kokoro-v1.0-dq": {"origin": DEQUANTISED, "parent": INT8.sha256},
        "kokoro-v1.0-int8": {"origin": "public", "sha256": INT8.sha256, "parent": ""},
        "mine": {"origin": "user", "parent": ""},
    }
    scenarios = tuple(
        replace(each, arm=replace(each.arm, model=replace(each.arm.model, **changes[each.arm.model.name])))  # type: ignore[arg-type]
        for each in data.run.scenarios
        if each.arm.model
    )
    return replace(data, run=replace(data.run, scenarios=scenarios))


def test_the_page_names_the_licences_of_weights_and_export_with_their_holders() -> None:
    text = Page(html_of(public_run())).text
    assert "Licences" in text
    (notice,) = facts(public_run().run, before=None).licences
    assert notice in text
    assert notice.startswith("kokoro-v1.0-dq and kokoro-v1.0-int8: ")
    for part in ("hexgrad", "Apache-2.0", "thewh1teagle", "MIT"):
        assert part in notice
    assert "mine" not in notice


def test_a_run_of_other_models_has_no_notice(small_run: RunData) -> None:
    assert facts(small_run.run, before=None).licences == ()
    assert "Licences" not in Page(html_of(small_run)).text
