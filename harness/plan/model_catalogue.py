"""The catalogue of models as the commands use it: with the sentences on which calibrated recipes learn their scales.

The name of a calibrated model stands for one file only together with these sentences, whoever resolves it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.models.catalogue import Catalogue


def model_catalogue() -> "Catalogue":
    """A catalogue that can resolve and make every model it lists."""
    from harness.models.catalogue import Catalogue

    return Catalogue(calibration_texts=_calibration_texts)


def _calibration_texts() -> list[str]:
    from harness.plan.corpus import Corpus

    corpus = Corpus()
    return [utterance.text for name in ("chars-60", "chars-200") for utterance in corpus.variants(name)]
