"""Smaller models: rows of embeddings that no text needs are cut, layers and neurons dropped."""
