"""The table of docs/serving.md, from what `serving.py` measured."""

import json
from pathlib import Path
from typing import Any

__all__ = ["serving_section"]

FILE = Path(__file__).resolve().parent / "serving.json"


def serving_section() -> str:
    """Throughput, times, memory and the long run."""
    found = json.loads(FILE.read_text("utf-8"))
    answers, memory, soak = found["answers"], found["memory"]["ranks"], found["soak"]
    ours, peer = answers["throughput"]["lowcost_ft"], answers["throughput"]["pipeline"]
    hardware = answers["hardware"]
    six, top = answers["all_layers_16"], answers["top_3_128"]
    pipelines = answers["six_pipelines"]["median_ms"]
    rows = [
        (
            f"requests a second, {answers['clients']} clients, one short text each",
            f"{ours['requests_per_second']:.0f}, {_over(ours, peer)} times the peer's",
            f"{peer['requests_per_second']:.0f}",
        ),
        (
            "time of 99% of these answers, at most",
            f"{ours['p99_ms']:.0f} ms",
            f"{peer['p99_ms']:.0f} ms",
        ),
        (
            "six adapters on all layers, six answers to one text of 16 tokens",
            f"{_ms(six['six_answers_ms'])}, {six['ratio']:.2f} times one answer",
            f"{pipelines:.0f} ms (six pipelines)",
        ),
        (
            "six adapters on the top 3 of 6 layers, 128 tokens",
            f"{_ms(top['six_answers_ms'])}, {top['ratio']:.2f} times one answer",
            "",
        ),
        *(
            (
                f"weights of six models, LoRA of rank {rank} on all layers",
                f"{one['all_bytes'] / 1e6:.0f} MB, {one['ratio']:.2f} times one model's",
                "",
            )
            for rank, one in sorted(memory.items(), key=lambda item: -int(item[0]))
        ),
        ("from the command to the page", f"{answers['seconds_to_the_page']:.1f} s", ""),
    ]
    return "\n".join(
        [
            "| what | `lowcost-ft serve` | FastAPI with `transformers.pipeline` |",
            "|---|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
            f"{soak['requests']:,} requests in a row ended with "
            f"{soak['errors'] or 'no'} errors; the memory of the process went from "
            f"{soak['resident_before'] / 1e6:.0f} to {soak['resident_after'] / 1e6:.0f} MB.",
            "",
            f"all-MiniLM-L6-v2 on {hardware['cores']} cores of {hardware['cpu']}, loopback; "
            "`python benchmarks/serving.py --output-dir runs/serving` measures it.",
        ]
    )


def _over(ours: dict[str, Any], peer: dict[str, Any]) -> str:
    return f"{ours['requests_per_second'] / peer['requests_per_second']:.1f}"


def _ms(times: dict[str, Any]) -> str:
    return f"{times['median_ms']:.0f} ms"
