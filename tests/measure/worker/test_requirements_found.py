"""What a distribution needs is read line by line: a requirement without a version must not hide the next one."""

from importlib.metadata import version

from harness.measure.worker.loaded_software import loaded_software


def test_every_requirement_of_the_engine_counts() -> None:
    packages = dict(loaded_software("kokoro").packages)
    # phonemizer requires joblib and dlinfo without a version, and right after each of them one of these.
    for name in ("phonemizer", "joblib", "attrs", "dlinfo", "typing-extensions", "protobuf"):
        assert packages[name] == version(name)
