"""The tables of what works in docs/methods.md, from `support.json`, which `make support` writes."""

import json
from pathlib import Path

from lowcost_ft.config.methods import METHODS, Method
from lowcost_ft.models.families import FAMILIES
from lowcost_ft.tasks import task_class

SUPPORT = Path(__file__).resolve().parent / "support.json"
QUANTIZATIONS = ("none", "int8", "8bit", "nf4")
TASKS = {"ner": "NER", "classification": "text", "relation": "relation"}
TASKS |= {"question_answering": "QA"}
ENCODER, DECODER = "bert", "llama"

Rows = list[dict[str, str | None]]


def support_tables() -> str:
    """Families by precision, and methods by kind of model."""
    rows: Rows = json.loads(SUPPORT.read_text("utf-8"))
    families = [
        "| LoRA with | float32 | int8 | 8bit | nf4 | exports |",
        "|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        kinds = [row for row in rows if row["family"] in family.model_types]
        cells = [
            _tasks([r for r in kinds if r["quantization"] == q and r["method"] == "lora"])
            for q in QUANTIZATIONS
        ]
        tried = [row for row in kinds if row["exported"]]
        cells.append(_tasks(tried, "exported"))
        families.append(f"| {family.name} | {' | '.join(cells)} |")
    methods = [
        "| `--method` | | trains beside the head | BERT | on nf4 | Llama | on nf4 | merges |",
        "|---|---|---|---|---|---|---|---|",
    ]
    methods += [_method_row(method, rows) for method in METHODS]
    return "\n".join([*families, "", *methods])


def _method_row(method: Method, rows: Rows) -> str:
    mine = [row for row in rows if row["method"] == method.name]
    cells = [
        _tasks([r for r in mine if r["family"] == family and r["quantization"] == quantization])
        for family in (ENCODER, DECODER)
        for quantization in ("none", "nf4")
    ]
    merges = {
        name: all(r["merged"] == "works" for r in mine if r["family"] == name and _works(r))
        for name in (ENCODER, DECODER)
    }
    merged = "BERT" if merges[ENCODER] else "no"
    if all(merges.values()):
        merged = "yes"
    if method.name == "full":
        merged = "no adapter"
    return f"| `{method.name}` | {method.title} | {method.what} | {' | '.join([*cells, merged])} |"


def _tasks(rows: Rows, what: str = "result") -> str:
    """The tasks that work in all of the rows that are about them, or about one with their head."""
    names = []
    for task, shown in TASKS.items():
        head = task_class(task).head
        about = [row for row in rows if task_class(str(row["task"])).head == head]
        if about and all(_works(row, what) for row in about):
            names.append(shown)
    return ", ".join(names) or "no"


def _works(row: dict[str, str | None], what: str = "result") -> bool:
    return row[what] == "works"
