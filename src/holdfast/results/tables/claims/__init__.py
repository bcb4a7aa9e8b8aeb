"""Claims held against the data."""

from holdfast.results.tables.claims.table import build

__all__ = ["build"]
