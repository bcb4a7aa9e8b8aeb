"""An arm under perturbations: completions, perplexity and accuracy."""
