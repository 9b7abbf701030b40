from harness.metrics.registry import METRICS
from reports.views.glossary import Entry, glossary


def test_has_every_metric_in_the_registry_s_order() -> None:
    assert [entry.metric.name for entry in glossary()] == list(METRICS)


def test_every_entry_is_finished() -> None:
    for entry in glossary():
        metric = entry.metric
        texts = (metric.title, metric.formula, metric.meaning, metric.moved_by, metric.fooled_by)
        for text in (*texts, entry.unit, entry.better, entry.gate):
            assert text, metric.name
            assert "{" not in text
            assert "None" not in text


def test_an_entry_in_full() -> None:
    entry = {each.metric.name: each for each in glossary()}["streaming_efficiency"]
    assert entry == Entry(
        metric=METRICS["streaming_efficiency"],
        unit="A ratio",
        better="higher is better",
        gate="shown, not judged",
        beside="Overlap of synthesis and listening",
    )
