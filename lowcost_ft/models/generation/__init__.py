"""Writing texts with a model: rows of like length together, and finished rows leave the batch."""
