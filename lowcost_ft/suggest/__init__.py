"""What to label next: rows of a pool that a model is unsure of, or that stand for many others."""
