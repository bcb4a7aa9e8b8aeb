"""The plan of a run: which files it makes from which, as paths. The rules read it.

One file a stage, each adding to the one before: data, arms, evaluation, judging, sweeps, gaps and
then results.
"""

from holdfast.plan.evaluation import QUANTIZED
from holdfast.plan.results import Plan

__all__ = ["QUANTIZED", "Plan"]
