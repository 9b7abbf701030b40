"""Cuts a model in two and tries the halves, in a process of its own: see `cut` and `halves`."""

import sys
from pathlib import Path

from harness.engines.pooled.windows.cut import NotCut, cut
from harness.engines.pooled.windows.session import HalvesSession
from harness.engines.speech import EngineRefusal, one_line

CPU = "CPUExecutionProvider"


def check(features: Path, sound: Path) -> None:
    """NotCut if the halves do not load here, or do not speak."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        opened = (
            onnxruntime.InferenceSession(each, options, providers=["CPUExecutionProvider"])
            for each in (features, sound)
        )
        session = HalvesSession(*opened)
        feeds = session.feeds([0, *range(43, 63), 0], np.zeros((1, 256), dtype=np.float32), 1.0)
        (audio,) = session.run(None, feeds)
    except EngineRefusal as refusal:
        raise NotCut(str(refusal)) from refusal
    except Exception as error:
        raise NotCut(f"its halves do not run: {one_line(error)[:200]}") from error
    if not np.isfinite(audio).all():
        raise NotCut("its halves give no audio")


def main() -> None:
    """Cut the model of the first argument into the files of the others; end with 1 and the reason if that fails."""
    try:
        source, features, sound = map(Path, sys.argv[1:4])
        cut(source, features, sound)
        check(features, sound)
    except NotCut as refusal:
        sys.exit(f"{refusal}")
    except Exception as error:  # noqa: BLE001 - of onnx and onnx-ir; the last line is what the caller shows
        sys.exit(f"cutting it failed: {type(error).__name__}: {one_line(error)[:200]}")
