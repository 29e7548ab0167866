"""The table of docs/trust.md: which command works with which task and which kind of model."""

from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.tasks import task_class

__all__ = ["trust_table"]

MODELS = ("encoder", "decoder", "8-bit and 4-bit weights", "prompt and prefix tuning")
EXPORTED = "exported to ONNX"
"""All of them work with each command: `tests/test_explain.py` and its neighbours try them."""


def trust_table() -> str:
    """A row a command, a column a task and a kind of model."""
    # Only the package's own: tests register more.
    names = [n for n in task_names() if task_settings(n).module.startswith("lowcost_ft.")]
    titles = [task_settings(name).title for name in names]
    lines = [f"| command | {' | '.join([*titles, *MODELS, EXPORTED])} |"]
    lines.append("|---" * (2 + len(titles) + len(MODELS)) + "|")
    commands = {
        "explain": lambda kind: kind.can_explain,
        "attack": lambda kind: kind.can_edit and kind.can_measure,
        "audit": lambda kind: kind.can_edit and kind.can_audit,
    }
    for command, works in commands.items():
        cells = ["yes" if works(task_class(name)) else "no" for name in names]
        cells += ["yes"] * len(MODELS)
        cells.append("no" if command == "explain" else "yes")  # It takes gradients.
        lines.append(f"| `{command}` | {' | '.join(cells)} |")
    return "\n".join(lines)
