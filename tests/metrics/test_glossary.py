from dataclasses import fields

from harness.metrics.glossary import GlossaryEntry, glossary
from harness.metrics.registry import METRICS


def test_has_every_metric_in_the_registry_s_order() -> None:
    assert [entry.name for entry in glossary()] == list(METRICS)


def test_every_entry_is_finished() -> None:
    optional = {"beside", "needs"}
    for entry in glossary():
        for field in fields(GlossaryEntry):
            text = getattr(entry, field.name)
            assert isinstance(text, str)
            assert text or field.name in optional, (entry.name, field.name)
            assert "{" not in text
            assert "None" not in text


def test_an_entry_in_full() -> None:
    entry = {each.name: each for each in glossary()}["streaming_efficiency"]
    assert entry == GlossaryEntry(
        name="streaming_efficiency",
        title="Streaming efficiency",
        unit="a ratio, without unit",
        direction="Higher is better.",
        formula="D / (D + stall)",
        meaning="The share of the playback time that is audio.",
        moved_by="Everything that moves stall.",
        fooled_by="Sending everything at the end, which is 100 % efficient and does not stream: always read it "
        "together with overlap.",
        source="One value per repetition.",
        gate="Shown, not gated.",
        beside="Shown beside overlap of synthesis and listening (overlap).",
        needs="",
        definition="Definition 1; figures of different definitions are not comparable.",
    )


def test_what_is_gated_or_optional_says_so() -> None:
    entries = {each.name: each for each in glossary()}
    assert entries["load_time"].gate == "Gated: a change of 10 % or more counts, once the interval excludes 0."
    assert entries["pesq"].needs == "Needs the package pesq: pip install 'kokoro-bench[similarity]'."
    assert entries["stoi"].needs == "Needs the package pystoi: pip install 'kokoro-bench[similarity]'."
