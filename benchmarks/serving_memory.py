"""The storages of several runs' weights in one server, beside those of one run alone.

python benchmarks/serving_memory.py RUN...
"""

import json
import sys
from typing import Any

from lowcost_ft import load_predictor
from lowcost_ft.serve.loading import Loader
from lowcost_ft.serve.models import Models, model_folders

__all__ = ["main"]


def main(folders: list[str]) -> dict[str, float]:
    """Bytes of one model, of all of them, and their ratio."""
    alone = sum(storages(load_predictor(folders[0]).model).values())
    models = Models()
    Loader(models=models, say=lambda text: None).load_all(model_folders(folders))
    together: dict[int, int] = {}
    for model in models.all():
        together |= storages(model.predictor.model)
    for group, _ in models.grouping.places.values():
        for copied in group.models():
            together |= storages(copied)
    found = sum(together.values())
    return {"one_bytes": alone, "all_bytes": found, "ratio": found / alone, "models": len(folders)}


def storages(model: Any) -> dict[int, int]:
    """Address and size of each storage of a model's weights."""
    tensors = [*model.parameters(), *model.buffers()]
    found = [tensor.untyped_storage() for tensor in tensors]
    return {storage.data_ptr(): storage.nbytes() for storage in found}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
