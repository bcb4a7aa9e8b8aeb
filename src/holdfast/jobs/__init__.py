"""A job of a run: its frame, its lock, its record, and where it runs."""
