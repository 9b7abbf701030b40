"""The architecture's sizes from the configuration that kokoro-onnx contains, scaled by a width."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.core.errors import ModelError

ALBERT_EMBEDDING = 128  # ALBERT's own default; Kokoro's configuration leaves it there
DECODER = 1024  # the decoder's inner channels, a constant of the architecture
DECODER_RESIDUAL = 64  # channels of the text that every decoder block gets
HARMONICS = 9  # the fundamental and eight overtones


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Channel counts, kernel sizes and depths.

    Channels scale with the width, except those of the interface: the vocabulary, the style, the transform.
    """

    tokens: int
    positions: int
    style: int
    max_duration: int

    bert_embedding: int
    bert_hidden: int
    bert_heads: int
    bert_inner: int
    bert_layers: int

    hidden: int
    depth: int
    text_kernel: int

    decoder: int
    decoder_residual: int
    generator: int
    upsample_rates: tuple[int, ...]
    upsample_kernels: tuple[int, ...]
    residual_kernels: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    harmonics: int
    transform: int
    hop: int

    @property
    def bins(self) -> int:
        """Frequencies of the short-time transform."""
        return self.transform // 2 + 1

    @property
    def samples_per_curve_point(self) -> int:
        """Audio samples per point of the pitch curve, which has two points per frame."""
        product = self.hop
        for rate in self.upsample_rates:
            product *= rate
        return product


@cache
def configuration_text() -> str:
    """The architecture's configuration in kokoro-onnx.

    The package is not imported, because this would load ONNX Runtime. Raises ModelError if the package or its file is
    missing.
    """
    spec = find_spec("kokoro_onnx")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "config.json"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ModelError(
        "the replica is built from the configuration in the kokoro-onnx package, which is not there",
        where="kokoro_onnx/config.json",
        remedy="pip install 'kokoro-onnx>=0.6.1'",
    )


def dimensions(width: float) -> Dimensions:
    """The sizes at `width` (1.0: Kokoro-82M). Each is at least large enough to keep every part and operator."""
    config: dict[str, Any] = json.loads(configuration_text())
    bert, net = config["plbert"], config["istftnet"]

    def scaled(full: int, *, multiple: int = 1) -> int:
        return multiple * max(1, round(full * width / multiple))

    return Dimensions(
        tokens=config["n_token"],
        positions=bert["max_position_embeddings"],
        style=config["style_dim"],
        max_duration=config["max_dur"],
        bert_embedding=scaled(ALBERT_EMBEDDING, multiple=2),
        bert_hidden=scaled(bert["hidden_size"], multiple=2 * bert["num_attention_heads"]),
        bert_heads=bert["num_attention_heads"],
        bert_inner=scaled(bert["intermediate_size"], multiple=2),
        bert_layers=bert["num_hidden_layers"],
        hidden=scaled(config["hidden_dim"], multiple=8),
        depth=config["n_layer"],
        text_kernel=config["text_encoder_kernel_size"],
        decoder=scaled(DECODER, multiple=2),
        decoder_residual=scaled(DECODER_RESIDUAL, multiple=2),
        generator=scaled(net["upsample_initial_channel"], multiple=2 ** (len(net["upsample_rates"]) + 1)),
        upsample_rates=tuple(net["upsample_rates"]),
        upsample_kernels=tuple(net["upsample_kernel_sizes"]),
        residual_kernels=tuple(net["resblock_kernel_sizes"]),
        dilations=tuple(tuple(row) for row in net["resblock_dilation_sizes"]),
        harmonics=max(2, scaled(HARMONICS)),
        transform=net["gen_istft_n_fft"],
        hop=net["gen_istft_hop_size"],
    )
