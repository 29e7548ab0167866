"""The steps of a recipe and what they return; using, scoring and merging a finished run."""
