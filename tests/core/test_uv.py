"""uv's errors, with what to do about each."""

import socket

import pytest

from harness.core.errors import RuntimeBuildError
from harness.core.uv import run_uv


def test_an_index_that_does_not_answer_is_no_fault_of_the_versions() -> None:
    with socket.socket() as bound:  # a port that nobody listens on
        bound.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{bound.getsockname()[1]}/simple"
        with pytest.raises(RuntimeBuildError) as caught:
            run_uv(
                "pip", "compile", "--no-config", "--no-cache", "--index-url", index, "-",
                given="no-such-package-anywhere==1.0", what="a runtime", remedy="other versions", retries=0,
            )  # fmt: skip
    assert caught.value.remedy.startswith("check the network")
    assert index in caught.value.what
