"""Models are loaded: those of the command line, and those that come while the server runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.record.run_file import load_run
from lowcost_ft.serve.errors import RequestError, unprocessable, without_folders
from lowcost_ft.serve.models import (
    MODEL_NAME,
    ModelFolder,
    Models,
    ServedModel,
    wants_adapter,
)

__all__ = ["Loader"]


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Loads models into a server.

    Attributes:
        models: Where they go.
        folder: Where more may come from while the server runs; None: from nowhere.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the base models' own Python code may run.
        num_threads: CPU threads; see `set_num_threads`.
        precision: Which file of an exported folder is run; see `load_predictor`.
        say: Prints one line.
    """

    models: Models
    folder: str | None = None
    base_model: str | None = None
    trust_remote_code: bool = False
    num_threads: int | None = None
    precision: str | None = None
    say: Callable[[str], None] = print

    def load_all(self, folders: list[ModelFolder]) -> None:
        """Loads the models of the command line; then the server is ready.

        Raises:
            UserError: A folder holds no model that can be used.
        """
        for folder in folders:
            keep = self.folder is not None or wants_adapter(folder, folders)
            self._load(folder, keep_adapter=keep)
        self.regroup()
        self.models.ready = True

    def regroup(self) -> None:
        """Finds out which models run together, after one has come or gone."""
        from lowcost_ft.serve.groups import group_models

        self.models.grouping = group_models(self.models.all())

    def load_named(self, name: str) -> dict[str, Any]:
        """Loads a model of the operator's folder.

        Returns:
            What `/info` says of it.

        Raises:
            RequestError: There is no such folder, or the model is there, or cannot be used.
        """
        if self.folder is None:
            raise RequestError(
                403,
                "Validation",
                "no models can be added: start the server with --models-dir FOLDER",
            )
        if not MODEL_NAME.fullmatch(name):  # As the body's own pattern says, too.
            raise unprocessable(
                "lora_name: give the name of a folder below --models-dir, not a path"
            )
        if any(model.name == name for model in self.models.all()):
            raise RequestError(409, "Validation", f"{name} is loaded already")
        root = Path(self.folder).resolve()
        path = (root / name).resolve()
        if path.parent != root or not path.is_dir():
            raise RequestError(404, "Validation", "there is no such folder below --models-dir")
        try:
            found = ModelFolder(name=name, path=str(path), run=load_run(path), removable=True)
            model = self._load(found, keep_adapter=True)
            self.regroup()
            return self.models.describe(model)
        except UserError as error:
            # Without the operator's paths.
            told = str(error).replace(str(path), name).replace(str(root), "--models-dir")
            raise unprocessable(without_folders(told)) from None

    def _load(self, folder: ModelFolder, *, keep_adapter: bool) -> ServedModel:
        import torch

        from lowcost_ft.pipeline.load_predictor import load_predictor

        # An exported, merged or compressed folder needs no other, and neither does a full run.
        whole = not (Path(folder.path) / "adapter_config.json").is_file()
        predictor = load_predictor(
            folder.path,
            base_model=None if whole else self.base_model,
            trust_remote_code=self.trust_remote_code,
            num_threads=self.num_threads,
            keep_adapter=keep_adapter,
            precision=self.precision if folder.run.get("export") else None,
        )
        model = ServedModel(folder=folder, predictor=predictor, num_threads=torch.get_num_threads())
        shared = self.models.add(model)
        more = f", {shared / 1e6:,.1f} MB of it shared" if shared else ""
        more += f", in {model.precision}" if model.precision else ""
        self.say(f"loaded {folder.name} from {folder.path}{more}")
        for notice in predictor.notices:
            self.say(f"note: {folder.name}: {notice}")
        return model
