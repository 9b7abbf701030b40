"""What synthesised speech says and how it sounds, judged by a recogniser and a quality estimator on the kept audio."""

from functools import partial

from harness.metrics.metric import Direction, Metric, Per

_NORMALISED = "Text and transcript are normalised first: case, punctuation, spelling, numbers, dates, amounts of money."
_RECOGNISER = (
    "Mistakes of the recogniser itself: compare it with the original's on the same text. It knows English only. "
    + _NORMALISED
)
_ESTIMATOR = (
    "The estimator was trained on telephone and conference calls, not on speech synthesis: compare it with the "
    "original's on the same text. It does not notice wrong words."
)

_error_rate = partial(
    Metric,
    unit="ratio",
    direction=Direction.LOWER,
    per=Per.SCENARIO,
    definition=2,
    moved_by="Mispronounced, missing and repeated words, noise, distortion.",
    fooled_by=_RECOGNISER,
)
_words = partial(
    Metric,
    unit="words",
    per=Per.SCENARIO,
    decimals=0,
    moved_by="Mispronounced, missing and repeated words, noise, distortion.",
    fooled_by=_RECOGNISER,
)
_opinion = partial(
    Metric,
    unit="MOS",
    direction=Direction.HIGHER,
    per=Per.SCENARIO,
    decimals=2,
    most=5.0,
    fooled_by=_ESTIMATOR,
)

SPEECH = (
    _error_rate(
        name="wer",
        title="Word error rate",
        formula="(S + D + I) / N: words substituted, deleted and inserted between the text, of N words, and the "
        "transcript by Whisper tiny.en; of the launch with the most words in error",
        meaning="The fraction of the text's words that a recogniser does not recover from the audio.",
    ),
    _error_rate(
        name="cer",
        title="Character error rate",
        formula="(S + D + I) / N: characters substituted, deleted and inserted between the text, of N characters, and "
        "the transcript by Whisper tiny.en; of the launch with the most words in error",
        meaning="As the word error rate, but a word that is nearly right counts for less.",
        beside="wer",
    ),
    _opinion(
        name="dnsmos_overall",
        title="DNSMOS P.835, overall",
        formula="DNSMOS P.835 (Reddy et al. 2022), overall quality: mean over windows of 9.01 s that cover the "
        "audio, at 16 kHz; shorter audio is repeated",
        meaning="The predicted opinion of human raters on the audio as a whole: 1 (bad) to 5 (excellent).",
        moved_by="Noise, distortion, buzz, clipping.",
    ),
    _opinion(
        name="dnsmos_signal",
        title="DNSMOS P.835, speech signal",
        formula="DNSMOS P.835 (Reddy et al. 2022), quality of the speech signal: windows as for dnsmos_overall",
        meaning="The predicted opinion of human raters on the speech without the background: 1 (bad) to 5 (excellent).",
        moved_by="Distortion, clipping, missing sounds.",
        beside="dnsmos_overall",
    ),
    _opinion(
        name="dnsmos_p808",
        title="DNSMOS P.808",
        formula="DNSMOS P.808 (Reddy et al. 2021), from the log-mel spectrogram: mean over windows of 9.01 s, 1 s "
        "apart, at 16 kHz; shorter audio is repeated",
        meaning="The predicted opinion of human raters in a test by ITU-T P.808: 1 (bad) to 5 (excellent).",
        moved_by="Noise, distortion, buzz; of these estimates it moves most when weights are quantised.",
        beside="dnsmos_overall",
    ),
    Metric(
        name="leading_silence",
        title="Leading silence",
        unit="s",
        direction=Direction.LOWER,
        per=Per.SCENARIO,
        formula="time from the first sample to the first audible moment, as in ttfa: a window of 10 ms with an RMS "
        "above −40 dBFS, after which at least 50 ms stay above −50 dBFS",
        meaning="The silence before speech begins, which every listener waits for.",
        moved_by="The voice, the text, trimming.",
        fooled_by="Quiet beginnings of words, and audio of little level: the threshold is absolute.",
    ),
    Metric(
        name="trailing_silence",
        title="Trailing silence",
        unit="s",
        direction=Direction.NEITHER,
        per=Per.SCENARIO,
        formula="time from the last audible moment to the last sample, by the rule of leading_silence",
        meaning="The silence after the speech: a natural pause before the next sentence, or wasted time.",
        moved_by="The voice, the text, trimming.",
        fooled_by="Quiet ends of words, and audio of little level: the threshold is absolute.",
    ),
    Metric(
        name="loudness",
        title="Loudness",
        unit="LUFS",
        direction=Direction.NEITHER,
        per=Per.SCENARIO,
        decimals=1,
        least=-70.0,
        formula="integrated loudness by ITU-R BS.1770-4: K-weighted, blocks of 0.4 s, gated at −70 LUFS and at "
        "10 LU below the mean",
        meaning="How loud the speech is, relative to digital full scale.",
        moved_by="The voice, gain, clipping.",
        fooled_by="Short utterances have few blocks of 0.4 s.",
    ),
)
"""Metrics of the kept audio of a scenario. They are shown, not gated against baselines.

They are medians over the launches. Those of words are of the worst launch: a sentence that one launch lost would count
half in a median of two.
"""

WORDS = (
    _words(
        name="word_errors",
        title="Word errors",
        direction=Direction.LOWER,
        formula="S + D + I of wer, in the launch with the most words in error",
        meaning="How many of the text's words a recogniser does not recover from the audio, with words that it adds.",
        beside="word_count",
    ),
    _words(
        name="word_count",
        title="Words of the text",
        direction=Direction.NEITHER,
        formula="N of wer: the words of the text's normal form",
        meaning="How many words the words in error are counted among.",
        moved_by="The text.",
    ),
)
"""Counts behind `wer`, of a scenario's worst launch."""
