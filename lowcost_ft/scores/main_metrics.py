"""Which score counts, by task: apart from `metrics.py`, which loads what computes scores."""

__all__ = ["MAIN_METRICS"]

MAIN_METRICS = {
    "ner": "f1",
    "single_label_classification": "accuracy",
    "multi_label_classification": "micro_f1",
    "regression": "pearson",
}
"""The metric that early stopping watches and that has an interval. Higher is better in all."""
