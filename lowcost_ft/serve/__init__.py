"""Trained runs behind HTTP: one process, shared base models, requests gathered into batches."""
