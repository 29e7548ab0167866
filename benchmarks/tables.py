"""Writes the tables of the README from the committed results: `make results`.

Everything between the markers `<!-- results -->` and `<!-- /results -->` is replaced.
"""

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- results -->", "<!-- /results -->"
METRICS = {"ner": "f1", "classification": "accuracy"}
HEADER = (
    "| run | seeds | test score | by seed | trained | peak memory | tokens/s | training "
    "| threads |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def results_table() -> str:
    """One row a name, over its seeds: mean score, medians of the costs."""
    groups: dict[str, list[dict]] = {}
    for file in sorted(RESULTS.glob("*-seed*.json")):
        result = json.loads(file.read_text("utf-8"))
        if result["status"] == "completed":
            groups.setdefault(file.name.partition("-seed")[0], []).append(result)
    return "\n".join([HEADER, *(_row(name, runs) for name, runs in groups.items())])


def _row(name: str, runs: list[dict]) -> str:
    metric = METRICS[runs[0]["task"]]
    scores = [run["evaluation"]["test"][metric] for run in runs]
    share = runs[0]["parameters"]["trainable"] / runs[0]["parameters"]["total"]

    def median(key: str) -> float:
        return statistics.median(run["train"][key] for run in runs)

    cells = [
        name,
        str(len(runs)),
        f"{statistics.mean(scores):.3f} {metric}",
        ", ".join(f"{score:.3f}" for score in scores),
        f"{share:.1%}",
        f"{median('peak_memory_bytes') / 1e6:,.0f} MB",
        f"{median('real_tokens_per_second'):,.0f}",
        f"{median('seconds'):,.0f} s",
        str(runs[0]["hardware"]["threads"]),
    ]
    return f"| {' | '.join(cells)} |"


def with_results(readme: str) -> str:
    """The README with its table made anew."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{results_table()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_results(README.read_text("utf-8")), "utf-8")
    print(f"{README.name} is up to date with {len(list(RESULTS.glob('*.json')))} results")
    sys.exit(0)
