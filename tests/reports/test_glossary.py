from dataclasses import fields

from harness.metrics.registry import METRICS
from reports.views.glossary import Entry, glossary


def test_has_every_metric_in_the_registry_s_order() -> None:
    assert [entry.name for entry in glossary()] == list(METRICS)


def test_every_entry_is_finished() -> None:
    for entry in glossary():
        for field in fields(Entry):
            text = getattr(entry, field.name)
            assert text or field.name == "beside", (entry.name, field.name)
            assert "{" not in text
            assert "None" not in text


def test_an_entry_in_full() -> None:
    entry = {each.name: each for each in glossary()}["streaming_efficiency"]
    assert entry == Entry(
        name="streaming_efficiency",
        title="Streaming efficiency",
        unit="A ratio",
        better="higher is better",
        formula="D / (D + stall)",
        meaning="The share of the playback time that is audio.",
        moved_by="Everything that moves stall.",
        fooled_by="Sending everything at the end, which is 100 % efficient and does not stream: always read it "
        "together with overlap.",
        gate="shown, not judged",
        beside="Overlap of synthesis and listening",
        definition="version 1 of this definition",
    )
