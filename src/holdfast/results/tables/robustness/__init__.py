"""Metrics under perturbations."""
