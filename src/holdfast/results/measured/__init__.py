"""What a run measured: summaries pooled into cells, with their errors."""
