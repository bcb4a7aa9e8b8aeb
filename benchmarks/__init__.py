"""Holdfast's computations against the plain ones, as ratios measured in one run."""
