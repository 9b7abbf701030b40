"""The metrics of one repetition."""

from collections.abc import Mapping

from harness.core.records.repetition import AudioFeatures, Outcome, Repetition
from harness.core.records.value import Reading, known, unknown
from harness.metrics import playback
from harness.metrics.registry import METRICS, Per
from harness.metrics.stages import StageTimes, inference_ns, stage_times

NS = playback.NS
REPETITION_METRICS = tuple(name for name, metric in METRICS.items() if metric.per is Per.REPETITION)
NO_FEATURES = "no features of its audio were kept"


def repetition_figures(repetition: Repetition) -> Mapping[str, Reading]:
    """Every metric of a repetition, in the metric's unit, or unknown with the reason.

    An invalid repetition has a reason and no values. `gap` is not included: a repetition has several, see
    `playback.gaps`.
    """
    if not repetition.outcome.valid:
        return dict.fromkeys(REPETITION_METRICS, unknown(reported(repetition.outcome)))
    figures = {**_arrivals(repetition), **_shares(repetition), **_sounding(repetition)}
    return {name: figures[name] for name in REPETITION_METRICS}


def reported(outcome: Outcome) -> str:
    """Why there are no values: the kind of failure and its reason."""
    return f"{outcome.kind.value}: {outcome.reason}" if outcome.reason else outcome.kind.value


def total_ns(repetition: Repetition) -> int:
    """T: the arrival of the last chunk, or the end of the answer if that is later. In ns."""
    return max(repetition.end_ns, repetition.chunks[-1].at_ns if repetition.chunks else 0)


def audio_seconds(repetition: Repetition) -> float:
    """D in seconds, from decoded frames; 0 if nothing was decoded."""
    audio = repetition.audio
    return playback.audio_seconds(repetition.chunks, audio.sample_rate) if audio else 0.0


def _arrivals(repetition: Repetition) -> dict[str, Reading]:
    first_byte = repetition.first_byte_ns
    total_s = total_ns(repetition) / NS
    return {
        "ttfb": known(first_byte / NS) if first_byte is not None else unknown("there is no body: not over HTTP"),
        "ttfc": playback.ttfc(repetition.chunks),
        "latency": known(total_s),
        "overlap": playback.overlap(repetition.chunks, total_s=total_s),
    }


def _sounding(repetition: Repetition) -> dict[str, Reading]:
    """The metrics that need the length of the audio."""
    audio = repetition.audio
    if audio is None or not audio_seconds(repetition):
        why = unknown(NO_FEATURES if audio is None else playback.NO_AUDIO)
        names = ("ttfa", "stall", "stall_count", "prebuffer", "streaming_efficiency", "delivery_speed")
        return dict.fromkeys((*names, "rtf", "rtf_model", "cpu_per_audio"), why)
    return {**_playback(repetition, audio), **_work(repetition)}


def _playback(repetition: Repetition, audio: AudioFeatures) -> dict[str, Reading]:
    chunks, rate = repetition.chunks, audio.sample_rate
    played = playback.play(chunks, rate)
    return {
        "ttfa": playback.ttfa(played, onset_frame=audio.onset_frame, reason=audio.onset_reason),
        "stall": known(played.stalls.seconds),
        "stall_count": known(played.stalls.count),
        "prebuffer": playback.prebuffer(chunks, rate),
        "streaming_efficiency": playback.streaming_efficiency(played),
        "delivery_speed": playback.delivery_speed(chunks, rate, total_s=total_ns(repetition) / NS),
    }


def _work(repetition: Repetition) -> dict[str, Reading]:
    seconds = audio_seconds(repetition)
    model_ns, cpu_ns = inference_ns(repetition.stages), repetition.cpu_ns
    return {
        "rtf": known(total_ns(repetition) / NS / seconds),
        "rtf_model": known(model_ns / NS / seconds)
        if model_ns is not None
        else unknown("the engine marks no inference"),
        "cpu_per_audio": known(cpu_ns / NS / seconds) if cpu_ns is not None else unknown("CPU time was not read"),
    }


def _shares(repetition: Repetition) -> dict[str, Reading]:
    arrivals = [chunk.at_ns for chunk in playback.audible(repetition.chunks)]
    times = stage_times(repetition.stages, last_chunk_ns=arrivals[-1] if arrivals else 0, total_ns=total_ns(repetition))
    if isinstance(times, StageTimes):
        return {f"stage_share_{stage}": known(share) for stage, share in times.shares().items()}
    return {name: unknown(times) for name in METRICS if name.startswith("stage_share_")}
