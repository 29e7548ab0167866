"""The usual server, FastAPI with `transformers.pipeline`, and pipelines without a server.

    python benchmarks/serving_peer.py serve RUN PORT
    python benchmarks/serving_peer.py six RUN... TEXT REPEATS

As tutorials show it: the pipeline is made once, each request is a call of it in one of FastAPI's
threads, without batching, and PyTorch uses all cores for each call.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["load_pipeline"]


def load_pipeline(folder: str) -> Any:
    """A pipeline of a run, as its model card loads it."""
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    run = json.loads((Path(folder) / "run.json").read_text("utf-8"))
    labels = run["labels"]
    names = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    tags = any(label.startswith("B-") for label in labels)
    kind: Any = "token-classification" if tags else "text-classification"
    more: dict[str, Any] = {"aggregation_strategy": "first"} if tags else {}
    return pipeline(kind, folder, model_kwargs=names, **more)


def serve(folder: str, port: int) -> None:
    """Serves one run."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Body(BaseModel):
        inputs: str

    app, predict = FastAPI(), load_pipeline(folder)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP"}

    @app.post("/")
    def answer(body: Body) -> Any:
        return json.loads(json.dumps(predict(body.inputs), default=float))

    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def six(folders: list[str], text: str, repeats: int) -> dict[str, float]:
    """The time in which all pipelines have answered one text, one after the other."""
    pipelines = [load_pipeline(folder) for folder in folders]
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        for predict in pipelines:
            predict(text)
        times.append(1000 * (time.perf_counter() - began))
    return {"median_ms": float(np.median(times)), "p99_ms": float(np.percentile(times, 99))}


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count() or 1)
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        print(json.dumps(six(sys.argv[2:-2], sys.argv[-2], int(sys.argv[-1]))))
