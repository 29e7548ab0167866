"""Exports of labelling tools, read as rows of one form."""
