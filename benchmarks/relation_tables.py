"""The table of docs/relation-extraction.md, of the runs of the suite `relation` that there are."""

from pathlib import Path

from lowcost_ft.report.collect import collect
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.numbers import memory_text, score_text
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import markdown_text
from lowcost_ft.training.training_length import LEAST_EPOCHS

__all__ = ["semeval_section"]

RESULTS = Path(__file__).resolve().parent / "results" / "relation"
_COLUMNS = ["method", "rate", "macro F1 (95% interval)", "each seed"]
_COLUMNS += ["trained weights", "peak memory"]


def semeval_section() -> str:
    """Official macro F1 of each method; empty before the first run."""
    results, _ = collect([str(RESULTS)]) if list(RESULTS.glob("*.json")) else ([], [])
    return "\n\n".join(map(_section, compare(results)))


def _section(comparison: Comparison) -> str:
    rows = [row for row in comparison.rows if row.completed]
    lengths = sorted({row.setting("num_train_epochs") for row in rows}, reverse=True)
    return "\n\n".join(
        [
            "## On SemEval-2010 task 8",
            "8,000 sentences to train on, a tenth of them for validation, and 2,717 to test; "
            "all-MiniLM-L6-v2 (22 million parameters), and otherwise the recipe's defaults. The "
            "score is the official one. Published scores of BERT-base, which is five times as "
            "large, are 0.88 to 0.89.",
            *(
                part
                for epochs in lengths
                for part in _table(
                    epochs, [row for row in rows if row.setting("num_train_epochs") == epochs]
                )
            ),
            "The interval adds the spread over seeds to a bootstrap over the test sentences. "
            "`python benchmarks/compare_methods.py --suite relation --data-dir DATA` makes the "
            "runs.",
        ]
    )


def _table(epochs: int, rows: list[Row]) -> list[str]:
    """The runs of so many epochs."""
    peer = any("Trainer" in row.label for row in rows)
    ours = [row for row in rows if "Trainer" not in row.label]
    earlier = any("output_bias" not in one.run for row in ours for one in row.results)
    usual = " (the default)" * (epochs == LEAST_EPOCHS)
    return [
        f"**{epochs} epochs**{usual}."
        + " Our runs are of earlier defaults: heads began at zero, and LoRA had rank 16." * earlier
        + " `Trainer` + peft trains on the same marked texts." * peer,
        "\n".join(
            "| " + " | ".join(cells) + " |"
            for cells in (_COLUMNS, ["---"] * len(_COLUMNS), *map(_cells, rows))
        ),
        *_differences(rows),
    ]


def _differences(rows: list[Row]) -> list[str]:
    """LoRA less full fine-tuning, seed by seed; nothing where they share no seed."""
    found = {row.results[0].get("method"): _scores(row) for row in rows}
    ours, theirs = found.get("lora", {}), found.get("full", {})
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        return []
    gaps = [ours[seed] - theirs[seed] for seed in seeds]
    each = ", ".join(f"{gap:+.3f} (seed {seed})" for seed, gap in zip(seeds, gaps, strict=True))
    return [
        f"LoRA less full fine-tuning: {sum(gaps) / len(gaps):+.3f} macro F1 on average; {each}."
    ]


def _scores(row: Row) -> dict[int, float]:
    """Official macro F1 of each seed."""
    return {
        int(result.get("seed")): float(result.get("evaluation", "test", "macro_f1"))
        for result in sorted(row.results, key=lambda result: int(result.get("seed")))
    }


def _cells(row: Row) -> list[str]:
    trained = row.results[0].get("parameters", "trainable")
    return [
        markdown_text(row.label.split(", learning rate")[0]),
        f"{row.setting('learning_rate'):g}",
        score_text(row.score, row.interval),
        ", ".join(f"{score:.3f}" for score in _scores(row).values()),
        f"{trained:,}",
        memory_text(row.memory),
    ]
