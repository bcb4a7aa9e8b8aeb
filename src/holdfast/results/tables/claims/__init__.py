"""Claims held against the data."""
