"""The models of a server: loaded from run folders, by name, with one base model for each kind."""

import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import load_run
from lowcost_ft.serve.errors import RequestError

__all__ = ["MODEL_NAME", "ModelFolder", "Models", "ServedModel", "model_folders", "wants_adapter"]

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a model may be called: it is a part of addresses."""


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder to load, and the name that requests call it by.

    Attributes:
        name: Its name in requests and paths.
        path: The folder.
        run: The content of its `run.json`.
        removable: Whether it may be removed while the server runs.
    """

    name: str
    path: str
    run: Mapping[str, Any] = field(repr=False)
    removable: bool = False

    @property
    def base(self) -> tuple[Any, ...]:
        """What tells its base model from others."""
        config = self.run.get("config") or {}
        quantization = self.run.get("quantization") or config.get("quantization") or "none"
        # What was exported holds no weights that others could use.
        own = self.path if self.run.get("export") else None
        return (self.run.get("model_id"), config.get("revision"), quantization, own)

    @property
    def shown_base(self) -> str | None:
        """The base model as answers name it: without the operator's folders."""
        model_id = self.run.get("model_id")
        return Path(model_id).name if model_id and Path(model_id).is_absolute() else model_id


def model_folders(given: Sequence[str]) -> list[ModelFolder]:
    """Reads the records of the folders that a command line names.

    Args:
        given: Folders, each `PATH` or `NAME=PATH`; the name is the folder's own by default.

    Raises:
        UserError: A folder is no completed run, or two have one name.
    """
    problems, found = list[str](), list[ModelFolder]()
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = "", text
        name = name or Path(path).resolve().name
        if not MODEL_NAME.fullmatch(name):
            problems.append(
                f"{text}: the name {name!r} does not fit into an address: give one with letters, "
                f"digits, dots, hyphens and underscores, as in NAME={path}"
            )
            continue
        if other := next((one for one in found if one.name == name), None):
            problems.append(
                f"{other.path} and {path} have one name, {name}: give another, as in "
                f"{name}-2={path}"
            )
            continue
        try:
            found.append(ModelFolder(name=name, path=path, run=load_run(path)))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(problems)
    return found


def wants_adapter(folder: ModelFolder, others: Sequence[ModelFolder]) -> bool:
    """Whether an adapter stays beside its base model, so that others can use that model, too."""
    return any(other is not folder and other.base == folder.base for other in others)


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedModel:
    """A model that answers.

    Attributes:
        folder: Where it is from.
        predictor: The run with its model (`pipeline.predictor.Predictor`).
        num_threads: CPU threads that compute it.
        loaded_at: When it was loaded, in seconds since 1970.
    """

    folder: ModelFolder
    predictor: Any
    num_threads: int = 1
    loaded_at: float = field(default_factory=time.time)

    @property
    def name(self) -> str:
        """Its name in requests."""
        return self.folder.name

    @property
    def task(self) -> Any:
        """What it does."""
        return self.predictor.task

    @property
    def precision(self) -> str | None:
        """Which file of an exported folder is run; None for a run."""
        found: str | None = getattr(self.predictor.model, "precision", None)
        return found

    def describe(self) -> dict[str, Any]:
        """What `/info` says of it."""
        run, task = self.predictor.run, self.task
        _, revision, quantization, exported = self.folder.base
        return {
            "name": self.name,
            "task": run["task"],
            "model_id": self.folder.shown_base,
            "revision": revision,
            "quantization": quantization,
            "method": run.get("method"),
            "exported": exported is not None,
            "precision": self.precision,
            "labels": list(task.labels),
            "problem_type": task.problem_type,
            "max_length": self.predictor.max_length,
            "input_fields": list(task.input_fields(run)),
            "example": task.example_input(run),
            "gives_class_scores": task.gives_class_scores,
            "loaded_at": int(self.loaded_at),
            "removable": self.folder.removable,
        }


class Models:
    """The models that are loaded now, by name. Threads may read it while it changes.

    Attributes:
        ready: Whether those of the command line are all there.
        grouping: Which of them run together (`groups.Grouping`); None: each on its own.
    """

    def __init__(self) -> None:
        self._models: dict[str, ServedModel] = {}
        self._lock = threading.Lock()
        self.ready = False
        self.grouping: Any = None

    def add(self, model: ServedModel) -> int:
        """Adds a model; what it holds in common with those that are there is kept once.

        Returns:
            Bytes that are held once instead of twice.
        """
        # With each of them: the first may be trained in full, and then has nothing to share.
        shared = sum(
            other.predictor.share_weights(model.predictor)
            for other in self.all()
            if other.folder.base == model.folder.base
        )
        with self._lock:
            self._models = self._models | {model.name: model}
        return shared

    def remove(self, name: str) -> None:
        """Forgets a model; requests that have begun still get their answers.

        Raises:
            RequestError: There is no such model, or it is one of the command line.
        """
        if not self.get(name).folder.removable:
            raise RequestError(
                409, "Validation", f"{name} was given on the command line and stays loaded"
            )
        with self._lock:
            self._models = {key: value for key, value in self._models.items() if key != name}

    def all(self) -> list[ServedModel]:
        """All of them, in the order in which they were loaded."""
        return list(self._models.values())

    def describe(self, model: ServedModel) -> dict[str, Any]:
        """What `/info` says of a model, and why it runs on its own where it does."""
        alone = None if self.grouping is None else self.grouping.reasons.get(model.name)
        return model.describe() | {"grouped": alone is None, "not_grouped_because": alone}

    def get(self, name: str | None) -> ServedModel:
        """The model of a name; None is the only one.

        Raises:
            RequestError: There is no such model; or there are several, and none is named.
        """
        models = self._models
        if name is None:
            if len(models) == 1:
                return next(iter(models.values()))
            if not models:
                raise RequestError(
                    404, "Validation", "no model is loaded: add one by /v1/load_lora_adapter"
                )
            raise RequestError(
                404,
                "Validation",
                f"several models are served: name one of {', '.join(models)} with `model`, or ask "
                f"below /models/NAME",
            )
        if name not in models:
            known = ", ".join(models) or "none is loaded"
            raise RequestError(404, "Validation", f"no such model; known: {known}")
        return models[name]
