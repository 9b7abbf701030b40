"""Records without the user's folders."""

import time
from dataclasses import replace

import pytest

from harness.core.records.repetition import Outcome, OutcomeKind
from harness.core.records.run import RunData
from harness.core.records.scenario import Arm, Runtime
from harness.core.redaction import published, published_record, published_selection, published_text
from tests.conftest import Laboratory


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot read /home/me/models/k.onnx: it is damaged", "cannot read k.onnx: it is damaged"),
        ("[Errno 2] No such file: '/home/me/my models/k.onnx'", "[Errno 2] No such file: 'k.onnx'"),
        ("see /home/me/my models/k.onnx and try again", "see k.onnx and try again"),
        ("Permission denied: '/home/me/zz/audio'", "Permission denied: '…'"),
        ("in /home/me/zz/ nothing lies.", "in … nothing lies."),
        ("it is at ~/zz/voices.bin.", "it is at voices.bin."),
        ("../zz/k.onnx, ./zz/l.onnx", "k.onnx, l.onnx"),
        (r"C:\Users\me\zz\k.onnx is gone", "k.onnx is gone"),
        ("D:/zz/k.onnx is gone", "k.onnx is gone"),
        ("sqlite:////home/me/zz/r.sqlite is locked", "r.sqlite is locked"),
        ("file:///home/me/zz/x.whl", "x.whl"),
        ('  File "/home/me/zz/lib/python3.11/site-packages/onnxruntime/capi/x.py", line 4',
         '  File "onnxruntime/capi/x.py", line 4'),
        ("--model=/home/me/zz/k.onnx", "--model=k.onnx"),
        ("(/home/me/zz/k.onnx)", "(k.onnx)"),
        ("the waiver for */whole/x[0-9]/v? (see /home/me/zz/k.txt)", "the waiver for */whole/x[0-9]/v? (see k.txt)"),
    ],
)  # fmt: skip
def test_of_a_path_the_files_name_is_left(text: str, shown: str) -> None:
    assert published_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "first.cpu.t1/whole/chars-12/af_heart: 4 × timeout",
        "http://127.0.0.1:8880/v1/audio/speech answered 404; https://example.org/a/b.html",
        "the server has nothing at /v1/audio/speech, nor at /status",
        "/proc/meminfo says so, /sys/fs/cgroup/cpu.max too",
        "12 B/repetition, s/s, 1/s, and/or, 3/4 … 4/3, a / b",
        "stage inference: +1.0 ms (+0.5 to +1.5 at 99.75 %) of +1.0 ms (2.0 → 3.0)",
        "kokoro-bench baseline promote 20261129-095449-e2ab5f",
        "",
    ],
)
def test_what_is_no_folder_of_a_users_stays(text: str) -> None:
    assert published_text(text) == text
    assert published_selection(text) == text or "/" in text


@pytest.mark.parametrize(
    ("selection", "shown"),
    [
        ("quick --model /home/me/zz/k.onnx,zz/l.onnx,replica --threads 1,2",
         "quick --model k.onnx,l.onnx,replica --threads 1,2"),
        ("duel: model=../zz/a.onnx,threads=2 against model=zz/b.onnx",
         "duel: model=a.onnx,threads=2 against model=b.onnx"),
        ("duel: zz/a.onnx against current", "duel: a.onnx against current"),
        ("duel: rev=feature/quick against current", "duel: rev=feature/quick against current"),
        ("quick -k long zz/tests/test_mine.py", "quick -k long test_mine.py"),
        ("quick zz/tests", "quick …"),
        ("quick --url http://127.0.0.1:8880/v1 --say either/or --voice af_heart",
         "quick --url http://127.0.0.1:8880/v1 --say either/or --voice af_heart"),
        ("full", "full"),
    ],
)  # fmt: skip
def test_a_selection_has_names_of_files(selection: str, shown: str) -> None:
    assert published_selection(selection) == shown


def test_long_texts_take_no_time() -> None:
    text = "/home/me/" + "a b c " * 20_000 + "\n" + "x/" * 20_000
    began = time.process_time()
    published_text(text)
    assert time.process_time() - began < 5, "a pattern that tries every way through a text would take for ever"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return Laboratory(tmp_path_factory.mktemp("published")).run().data


def test_a_run_without_paths_is_the_same_but_for_its_process(data: RunData) -> None:
    assert published(data) == replace(data, run=replace(data.run, pid=0, boot=""))


def test_every_text_of_a_run_is_cleaned(data: RunData) -> None:
    told = "cannot read /home/zz-private-folder/k.onnx"
    bad = Outcome(kind=OutcomeKind.CRASHED, reason=told, stderr_tail=f"Traceback\n{told}")
    spoiled = replace(
        data,
        run=replace(data.run, notes=(told, told), reason=told, selection="quick --model zz-private-folder/k.onnx"),
        launches=tuple(replace(each, outcome=bad) for each in data.launches),
        repetitions=tuple(replace(each, outcome=bad) for each in data.repetitions),
        verdicts=tuple(replace(each, reason=told, advice=told, suspects=(told, told)) for each in data.verdicts),
        summaries=tuple(replace(each, reason=told) for each in data.summaries),
        blocks=tuple(replace(each, canary=replace(each.canary, reason=told)) for each in data.blocks),
    )
    clean = published(spoiled)
    assert "zz-private-folder" not in repr(clean)
    assert clean.run.notes == ("cannot read k.onnx",) * 2
    assert clean.verdicts[0].kind is spoiled.verdicts[0].kind
    assert [each.scenario_id for each in clean.repetitions] == [each.scenario_id for each in data.repetitions]


@pytest.mark.parametrize(
    "value", ["/home/me/zz/cache", "zz/cache", "/home/me/zz/x.bin", "C:\\zz\\x.bin", "~/zz", "off"]
)
def test_an_arm_keeps_its_id_and_loses_its_folders(value: str) -> None:
    arm = Arm(engine="kokoro", provider="openvino", provider_options=(("cache_dir", value),))
    assert "zz" not in arm.id
    assert published_record(arm).id == arm.id
    assert "zz" not in repr(published_record(arm))


def test_paths_of_an_interface_stay() -> None:
    arm = Arm(engine="endpoint", url="http://127.0.0.1:8880", session_options=(("path", "/own/speech"),))
    assert published_record(arm) == arm


def test_a_package_is_named_without_its_folder() -> None:
    arm = Arm(engine="bells", runtime=Runtime(name="x", requirements=("path:/home/me/my engine", "numpy<2")))
    assert published_record(arm).runtime.requirements == ("path:my engine", "numpy<2")


def test_records_without_folders_are_not_made_anew(data: RunData) -> None:
    """A site of a thousand runs has half a million verdicts; to copy each took a quarter of the time of their pages."""
    assert data.verdicts
    assert data.summaries
    assert published_record(data.verdicts) is data.verdicts
    assert published_record(data.summaries) is data.summaries
    assert published_record(data.run.scenarios) is data.run.scenarios
    first, second = (f"its median is {share} % above the baseline" for share in (5, 5))
    assert published_text(first) is first
    assert published_text(second) is second, "an equal text of another run took its place"
