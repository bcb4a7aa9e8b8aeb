"""Checks before a long run: seconds that save hours. All of them run; every failure is listed."""

from holdfast.preflight.run import preflight

__all__ = ["preflight"]
