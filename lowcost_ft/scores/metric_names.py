"""What scores are called: apart from `metrics.py`, which loads what computes them."""

__all__ = ["METRICS", "metric_title"]

METRICS = {
    "f1": ("entity F1", "f1"),
    "precision": ("entity precision", "precision"),
    "recall": ("entity recall", "recall"),
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("macro F1", "f1"),
    "micro_f1": ("micro F1", "f1"),
    "micro_precision": ("micro precision", "precision"),
    "micro_recall": ("micro recall", "recall"),
    "macro_precision": ("macro precision", "precision"),
    "macro_recall": ("macro recall", "recall"),
    "exact_match": ("exact match", "exact_match"),
    "answer_f1": ("answer F1", "f1"),
    "character_f1": ("character F1", "f1"),
    "answerable_exact_match": ("exact match, answerable questions", "exact_match"),
    "answerable_f1": ("answer F1, answerable questions", "f1"),
    "answerable_character_f1": ("character F1, answerable questions", "f1"),
    "unanswerable_accuracy": ("accuracy, unanswerable questions", "accuracy"),
    "bleu": ("BLEU", "sacrebleu"),
    "chrf": ("chrF", "chrf"),
    "rouge1": ("ROUGE-1", "rouge"),
    "rouge2": ("ROUGE-2", "rouge"),
    "rougeL": ("ROUGE-L", "rouge"),
    "perplexity": ("perplexity", "perplexity"),
    "mse": ("mean squared error", "mse"),
    "pearson": ("Pearson correlation", "pearsonr"),
    "spearman": ("Spearman correlation", "spearmanr"),
}
"""Key in `evaluation`: name to show, identifier on the Hub."""


def metric_title(metric: str) -> str:
    """A score's name to show; its key where the table does not have it."""
    return METRICS[metric][0] if metric in METRICS else metric
