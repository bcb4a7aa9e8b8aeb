"""Error bars and tests. The unit is the behavior (or perplexity window, or lm-eval item).

Units are sampled; so are training seeds and, unless told otherwise, noise draws, which every unit
is looked at under: repeats, a level of their own. More draws of one repeat sharpen a unit's rate
and never multiply the number of units.
"""

from holdfast.statistics.estimates import (
    CONFIDENCE,
    Change,
    Counts,
    Estimate,
    Floats,
    Mean,
    Spread,
    mean_of,
    p_value,
    quantile,
)
from holdfast.statistics.floor import noise_floor
from holdfast.statistics.multiplicity import adjusted, adjusted_by_family, holm
from holdfast.statistics.paired import rate_change, sign_flip
from holdfast.statistics.power import minimum_detectable, needed_n
from holdfast.statistics.rates import effective_size, rate, successes
from holdfast.statistics.utility import (
    accuracy,
    accuracy_change,
    perplexity,
    perplexity_change,
)

__all__ = [
    "CONFIDENCE",
    "Change",
    "Counts",
    "Estimate",
    "Floats",
    "Mean",
    "Spread",
    "accuracy",
    "accuracy_change",
    "adjusted",
    "adjusted_by_family",
    "effective_size",
    "holm",
    "mean_of",
    "minimum_detectable",
    "needed_n",
    "noise_floor",
    "p_value",
    "perplexity",
    "perplexity_change",
    "quantile",
    "rate",
    "rate_change",
    "sign_flip",
    "successes",
]
