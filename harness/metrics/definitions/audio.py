"""Similarity of a variant's audio to its original's, or to the reference arm's: same text, voice, speed and seed.

Definition 2 excludes comparisons of a model with itself. Those, under another seed, have metrics of their own.
"""

from functools import partial

from harness.metrics.metric import EXACT, Direction, Metric, Per

_NOISE = (
    "The generator's own noise: the original differs from itself under another seed. Compare it with the distance of "
    "the original from itself under another seed."
)

_distance = partial(Metric, unit="dB", direction=Direction.LOWER, per=Per.SCENARIO, decimals=2)

NOISE = (
    _distance(
        name="lsd_itself",
        title="Log-spectral distance from itself",
        formula="lsd of one model's audio against its own under another seed",
        meaning="The distance caused by the generator's noise alone: the noise floor of lsd.",
        moved_by="The generator's noise, the text.",
        fooled_by="It does not show whether the model sounds right.",
        beside="lsd",
    ),
    _distance(
        name="mcd_itself",
        title="Mel-cepstral distortion from itself",
        formula="mcd of one model's audio against its own under another seed",
        meaning="The distance caused by the generator's noise alone: the noise floor of mcd.",
        moved_by="The generator's noise, the text.",
        fooled_by="It does not show whether the model sounds right.",
        beside="mcd",
    ),
)
"""Metrics of a reference scenario: one model, two syntheses with different seeds."""

SIMILARITY = (
    _distance(
        name="lsd",
        definition=2,
        title="Log-spectral distance",
        formula="mean over aligned frames of the root mean square over frequency of 20 log10(|X| / |Y|)",
        meaning="The distance between the spectra, including their fine structure.",
        moved_by="Quantisation noise, other fundamental frequencies, and loudness: a gain of 6 dB counts as 6 dB.",
        fooled_by=_NOISE,
    ),
    _distance(
        name="mcd",
        definition=2,
        title="Mel-cepstral distortion",
        formula="(10 / ln 10) · mean over aligned frames of √(2 Σ_(i=1…13) (x_i − y_i)²), without c0",
        meaning="The distance between the spectral envelopes, without loudness.",
        moved_by="Quantisation, another voice.",
        fooled_by=_NOISE + " Published values use other cepstra and are not comparable.",
    ),
    Metric(
        name="duration_ratio",
        definition=2,
        title="Ratio of durations",
        unit="ratio",
        direction=Direction.ONE,
        per=Per.SCENARIO,
        run_spread=EXACT,
        formula="D of the variant / D of the original",
        meaning="Whether a variant's audio is as long as its original's.",
        moved_by="Quantised durations, missing text.",
        fooled_by="Errors that cancel: some sounds are longer, others shorter.",
    ),
    Metric(
        name="pesq",
        definition=2,
        title="PESQ",
        unit="MOS-LQO",
        direction=Direction.HIGHER,
        per=Per.SCENARIO,
        decimals=2,
        least=1.0,
        most=4.65,
        formula="wide-band PESQ (ITU-T P.862.2) at 16 kHz, the variant aligned to the original",
        meaning="The predicted quality rating of the variant relative to the original: 1 (bad) to 4.6 (identical).",
        moved_by="Noise, distortion, dropped sounds.",
        fooled_by="PESQ was designed for telephone lines, not for speech synthesis. " + _NOISE,
    ),
    Metric(
        name="stoi",
        definition=2,
        title="Short-time objective intelligibility",
        unit="ratio",
        direction=Direction.HIGHER,
        per=Per.SCENARIO,
        decimals=3,
        least=-1.0,
        most=1.0,
        formula="STOI of the variant aligned to the original (Taal et al. 2011), 10 kHz",
        meaning="The predicted intelligibility of the variant relative to the original: 0 to 1.",
        moved_by="Noise and missing sounds.",
        fooled_by="Alignment errors: a sound that moved in time counts as missing. " + _NOISE,
    ),
)
