"""Typed settings of a run; imports nothing heavy, since Snakemake reads it in every process."""

from holdfast.config.load import load_settings
from holdfast.errors import HoldfastError
from holdfast.settings.run import Settings

__all__ = ["HoldfastError", "Settings", "load_settings"]
