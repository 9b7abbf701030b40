"""Which prior of the spread between runs applies to a metric of a scenario."""

from harness.analysis.stats.run_spread import RunPrior
from harness.core.records.scenario import Arm
from harness.metrics.metric import RUN_SPREAD
from harness.metrics.registry import METRICS


def run_prior(arm: Arm, metric: str) -> RunPrior:
    """The registry's prior of `metric`; for a server that somebody else started, at least as wide as that of times.

    The launches of such an arm all meet the same process. What differs from one process to the next, such as memory,
    then differs between runs only, and no launch of the new run can contradict the prior.
    """
    spread = METRICS[metric].run_spread
    if arm.url and spread.sd < RUN_SPREAD.sd:
        spread = RUN_SPREAD
    return RunPrior(sd=spread.sd, freedom=spread.freedom)
