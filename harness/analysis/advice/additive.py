"""Each arm of a search against its base, from the blocks of all rounds together.

The model is ln(value) = arm + block + noise, fitted with Huber's loss (Huber 1981, 7.8). In its own round alone a
candidate would be compared with what the base took in just these blocks: a base that was slow there by chance makes all
candidates of the round look fast, those that were dropped included. Here the arms that went on tell how slow it was.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float64]

LIMIT = 1.345
"""Residuals beyond this many standard deviations count less: 95 % efficient on Gaussian values (Huber 1964)."""
CONSISTENT = 1.4826
"""Converts the median absolute residual of Gaussian noise into its standard deviation: 1 / Φ⁻¹(3/4)."""
STEPS = 50
SETTLED = 1e-7
"""The largest movement of an effect (a log-ratio) at which the fit ends."""


def against_base(blocks: Sequence[Mapping[str, float]], *, base: str) -> dict[str, float]:
    """Arm → its log-ratio to `base`, which is not in the result.

    `blocks` has the ln of each arm's value in a block. Arms that no chain of shared blocks connects with the base are
    left out.
    """
    arms = [base, *sorted(_connected(blocks, base) - {base})]
    table = np.array([[block.get(arm, np.nan) for arm in arms] for block in blocks]).reshape(len(blocks), len(arms))
    table = table[(~np.isnan(table)).sum(axis=1) > 1]
    if not len(table):
        return {}
    return dict(zip(arms[1:], map(float, _huber(table)), strict=True))


def _connected(blocks: Sequence[Mapping[str, float]], base: str) -> set[str]:
    """The arms that a chain of shared blocks connects with `base`, and `base`."""
    found, before = {base}, set[str]()
    while found != before:
        before = set(found)
        found.update(*(block.keys() for block in blocks if block.keys() & before))
    return found


def _huber(table: Table) -> Table:
    """The M-estimate of each arm against the first, by reweighted least squares; `table` is (blocks, arms).

    The scale counts the degrees of freedom that the fit used: of two arms in a block only one residual is free.
    """
    present = ~np.isnan(table)
    values, count = np.where(present, table, 0.0), present.sum()
    free = max(1, count - len(table) - (table.shape[1] - 1))
    weights = present.astype(float)
    effects = _weighted(values, weights)
    for _ in range(STEPS):
        rest = values - np.concatenate([[0.0], effects])
        middle = (weights * rest).sum(axis=1) / weights.sum(axis=1)
        residuals = np.abs(rest - middle[:, None])
        limit = LIMIT * CONSISTENT * float(np.median(residuals[present])) * (count / free) ** 0.5
        far = present & (residuals > limit) & (limit > 0)
        weights = np.where(far, limit / np.where(far, residuals, 1.0), present)
        before, effects = effects, _weighted(values, weights)
        if np.abs(effects - before).max() < SETTLED:
            break
    return effects


def _weighted(values: Table, weights: Table) -> Table:
    """Least squares with the blocks eliminated: the normal equations of the arms alone, the first one fixed at 0."""
    shares = weights / weights.sum(axis=1, keepdims=True)
    centred = values - (shares * values).sum(axis=1, keepdims=True)
    normal = np.diag(weights.sum(axis=0)) - weights.T @ shares
    solved: Table = np.linalg.solve(normal[1:, 1:], (weights * centred).sum(axis=0)[1:])
    return solved
