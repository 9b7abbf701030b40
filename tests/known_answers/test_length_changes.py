"""An engine that serves each new length later: the run says so, with both latencies, as its script knows them."""

import re

import pytest

from harness.analysis.length_changes import remedy_for
from harness.core.records.scenario import Arm
from harness.plan.arm_spec import parse_arm_spec
from tests.conftest import Command

TEXTS = ("--engine", "scripted", "--text", "chars-12,chars-60", "--launches", "2", "--blocks", "12", "--budget", "1h")
SAID = re.compile(r"(\S+): latency (\S+ m?s) after a text of another length, (\S+ m?s) after one of the same")


def seconds(shown: str) -> float:
    value, unit = shown.split()
    return float(value) / (1000 if unit == "ms" else 1)


@pytest.mark.parametrize(("script", "told"), [("noise=0,new_length=2", True), ("noise=0.02", False)])
def test_what_a_new_length_costs(kokoro_bench: Command, script: str, *, told: bool) -> None:
    found = kokoro_bench("run", "-k", "text_lengths and whole", *TEXTS, "--script", script)
    assert found.returncode == 0, found.stdout + found.stderr
    said = {name.split("/")[2]: (seconds(late), seconds(early)) for name, late, early in SAID.findall(found.stdout)}
    assert set(said) == ({"chars-12", "chars-60"} if told else set())
    for late, early in said.values():
        assert late - early == pytest.approx(2, abs=0.02)  # the table shows three digits


def test_the_option_that_avoids_it_is_named_to_those_who_do_not_have_it() -> None:
    cuda, chosen, other = (
        parse_arm_spec(text, base=Arm(engine="kokoro", provider="cpu"), models=())
        for text in ("provider=cuda", "provider=cuda,cuda:cudnn_conv_algo_search=DEFAULT", "provider=openvino")
    )
    assert "cuda:cudnn_conv_algo_search=HEURISTIC provider=cuda`" in remedy_for(cuda)
    assert (remedy_for(chosen), remedy_for(other)) == ("", "")
