"""Writes the tables of the READMEs and of `docs/` from the results: `make results`.

Everything between two markers such as `<!-- results -->` and `<!-- /results -->` is replaced. The
tables of results are those of `lowcost-ft report benchmarks/results`, with fewer columns.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from audit_tables import audit_example, audit_test
from calibration_tables import calibration_section
from chosen_table import chosen_table
from compression_tables import compression_section
from defaults_tables import (
    cuts_table,
    defaults_tables,
    epochs_table,
    few_steps_table,
)
from docstring_tables import layout_tables, settings_tables
from doctor_tables import doctor_tables
from export_tables import export_example, export_table
from extension_tables import extension_table
from few_sentences_tables import few_sentences_table, sentence_choice_table
from few_shot_tables import few_shot_table
from generation_tables import (
    generation_padding_section,
    generation_section,
    generation_speed_section,
    writing_rates_section,
)
from head_tables import bias_table, fitted_table, heads_table
from label_tables import label_table
from memory_tables import memory_sentences
from messy_export_tables import (
    accuracy_bars,
    accuracy_table,
    found_bars,
    found_table,
    refusal,
)
from precision_tables import cpu_precision_table
from pseudo_label_tables import pseudo_label_table
from question_tables import question_section
from relation_tables import semeval_section
from results_tables import committed, results_tables
from robustness_tables import robustness_section
from serving_tables import serving_section
from speed_tables import (
    operator_table,
    speed_sentences,
    speed_tables,
)
from summary_tables import quickstart_text, summary_table
from support_tables import support_tables
from tag_choice_tables import tag_choice_section
from trust_tables import trust_table
from tune_tables import tune_section
from word_tables import piece_sentence, word_tables

from lowcost_ft.report.grouping import compare

ROOT = Path(__file__).resolve().parent.parent


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {
        "quickstart": quickstart_text,
        "summary": lambda: summary_table(compare(committed()), "en"),
    },
    "README.zh-CN.md": {
        "quickstart": quickstart_text,
        "summary": lambda: summary_table(compare(committed()), "zh"),
    },
    "docs/results.md": {
        "results": results_tables,
        "speed": speed_sentences,
        "memory": memory_sentences,
    },
    "docs/methods.md": {"support": support_tables, "cpu-precision": cpu_precision_table},
    "docs/ner.md": {
        "pieces": piece_sentence,
        "words": word_tables,
        "tag-choice": tag_choice_section,
    },
    "docs/doctor.md": {"doctor": doctor_tables},
    "docs/messy-export.md": {
        "refusal": refusal,
        "found": found_table,
        "accuracy": accuracy_table,
    },
    "docs/_static/messy-found.svg": {"found-bars": found_bars},
    "docs/_static/messy-accuracy.svg": {"accuracy-bars": accuracy_bars},
    "docs/few-labels.md": {
        "labels": label_table,
        "pseudo-labels": pseudo_label_table,
        "few-shot": few_shot_table,
        "few-sentences": few_sentences_table,
        "few-sentences-choice": sentence_choice_table,
    },
    "docs/export.md": {"export": export_table, "export-example": export_example},
    "docs/distillation.md": {"compression": compression_section},
    "docs/serving.md": {"serving": serving_section},
    "docs/extensions.md": {"extensions": extension_table, "robustness": robustness_section},
    "docs/confidence.md": {"calibration": calibration_section},
    "docs/tuning.md": {"tuning": tune_section},
    "docs/trust.md": {"trust": trust_table},
    "docs/audit.md": {"audit-example": audit_example, "audit-test": audit_test},
    "docs/defaults.md": {
        "epochs": epochs_table,
        "few-steps": few_steps_table,
        "bias": bias_table,
        "heads": heads_table,
        "defaults": defaults_tables,
        "cuts": cuts_table,
        "fitted": fitted_table,
        "writing-rates": writing_rates_section,
    },
    "docs/generation.md": {
        "generation": generation_section,
        "generation-speed": generation_speed_section,
        "generation-padding": generation_padding_section,
    },
    "docs/question-answering.md": {"xquad": question_section},
    "docs/relation-extraction.md": {"semeval": semeval_section},
    "docs/settings.md": {"settings": settings_tables},
    "docs/layout.md": {"layout": layout_tables},
    "benchmarks/README.md": {
        "speed": speed_tables,
        "operators": operator_table,
        "chosen": chosen_table,
    },
}
"""Which page has which tables."""


def with_results(page: str) -> str:
    """The text of a page with its tables made anew."""
    text = (ROOT / page).read_text("utf-8")
    for name, make in PAGES[page].items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{page} has no {begin} ... {end}")
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


def main() -> int:
    """Rewrites the pages."""
    for page in PAGES:
        (ROOT / page).write_text(with_results(page), "utf-8")
    print(f"{', '.join(PAGES)}: up to date with {len(committed())} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
