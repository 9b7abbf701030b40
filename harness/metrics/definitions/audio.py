"""How much a variant sounds like its original, or like the arm it stands beside: same text, voice, speed and seed.

Definition 2 of them: never against itself. What an original is from itself under another seed has figures of its own.
"""

from harness.metrics.metric import Direction, Metric, Per

_NOISE = (
    "The generator's own noise: the original differs from itself under another seed. Read it beside the distance of "
    "the original from the original with another seed."
)

NOISE = (
    Metric(
        name="lsd_itself",
        title="Log-spectral distance from itself",
        unit="dB",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        decimals=2,
        formula="lsd of one model's audio against its own under another seed",
        meaning="How far the generator's noise alone parts an original from itself: what lsd is read beside.",
        moved_by="The generator's noise, the text.",
        fooled_by="It says nothing of whether the model sounds right.",
        beside="lsd",
    ),
    Metric(
        name="mcd_itself",
        title="Mel-cepstral distortion from itself",
        unit="dB",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        decimals=2,
        formula="mcd of one model's audio against its own under another seed",
        meaning="How far the generator's noise alone parts an original from itself: what mcd is read beside.",
        moved_by="The generator's noise, the text.",
        fooled_by="It says nothing of whether the model sounds right.",
        beside="mcd",
    ),
)
"""Of what the others are held against: one model, two syntheses."""

SIMILARITY = (
    Metric(
        name="lsd",
        definition=2,
        title="Log-spectral distance",
        unit="dB",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        decimals=2,
        formula="mean over aligned frames of the root mean square over frequency of 20 log10(|X| / |Y|)",
        meaning="How far the spectra are apart, fine structure included.",
        moved_by="Quantisation noise, other fundamental frequencies, loudness: a gain of 6 dB is 6 dB.",
        fooled_by=_NOISE,
    ),
    Metric(
        name="mcd",
        definition=2,
        title="Mel-cepstral distortion",
        unit="dB",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        decimals=2,
        formula="(10 / ln 10) · mean over aligned frames of √(2 Σ_(i=1…13) (x_i − y_i)²), without c0",
        meaning="How far the spectral envelopes are apart, loudness left out.",
        moved_by="Quantisation, another voice.",
        fooled_by=_NOISE + " Figures from elsewhere use other cepstra and are not comparable.",
    ),
    Metric(
        name="duration_ratio",
        definition=2,
        title="Ratio of durations",
        unit="ratio",
        direction=Direction.ONE,
        per=Per.SCENARIO,
        formula="D of the variant / D of the original",
        meaning="Whether a variant speaks as long as its original.",
        moved_by="Quantised durations, missing text.",
        fooled_by="Errors that cancel: some sounds longer, some shorter.",
    ),
    Metric(
        name="pesq",
        definition=2,
        title="PESQ",
        unit="MOS-LQO",
        direction=Direction.HIGHER,
        per=Per.SCENARIO,
        decimals=2,
        optional_package="pesq",
        least=1.0,
        most=4.65,
        formula="wide-band PESQ (ITU-T P.862.2) at 16 kHz, the variant aligned to the original",
        meaning="How listeners would rate the variant if the original were perfect: 1 bad to 4.6 like the original.",
        moved_by="Noise, distortion, dropped sounds.",
        fooled_by="It was made for telephone lines, not for synthesis. " + _NOISE,
    ),
    Metric(
        name="stoi",
        definition=2,
        title="Short-time objective intelligibility",
        unit="ratio",
        direction=Direction.HIGHER,
        per=Per.SCENARIO,
        decimals=3,
        optional_package="pystoi",
        least=-1.0,
        most=1.0,
        formula="STOI of the variant aligned to the original (Taal et al. 2011), 10 kHz",
        meaning="How intelligible the variant is if the original is: 0 to 1.",
        moved_by="Noise and missing sounds.",
        fooled_by="Alignment: sounds moved in time look lost. " + _NOISE,
    ),
)
