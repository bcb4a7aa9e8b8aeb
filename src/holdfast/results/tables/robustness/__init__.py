"""Metrics under perturbations, with paired changes."""

from holdfast.results.tables.robustness.layouts import build

__all__ = ["build"]
