"""A checkpoint whose upper layers alone are loaded; the others are read from disk when needed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lowcost_ft.errors import UserError
from lowcost_ft.models.family import Family
from lowcost_ft.models.freezing import frozen_names
from lowcost_ft.models.hub import not_loadable, quiet_libraries, weight_files
from lowcost_ft.models.safety import check_weight_files

__all__ = ["StreamedWeights", "load_upper_part"]

_CHUNK_BYTES = 4 * 2**20
"""A weight of another precision is converted so many bytes at a time."""

_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}
"""The names that safetensors has for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a tensor lies on disk."""

    file: Path
    offset: int
    """First byte in the file."""
    shape: tuple[int, ...]
    dtype: torch.dtype

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """Reads it into memory of its own, in another precision piece by piece; maps no file.

        Raises:
            UserError: The file is gone or was cut off.
        """
        tensor = torch.empty(self.shape, dtype=dtype)
        flat = tensor.view(-1)
        step = len(flat) if dtype == self.dtype else _CHUNK_BYTES // self.dtype.itemsize
        try:
            with open(self.file, "rb", buffering=0) as file:
                file.seek(self.offset)
                for piece in flat.split(max(1, step)) if len(flat) else ():
                    stored = (
                        piece if dtype == self.dtype else torch.empty_like(piece, dtype=self.dtype)
                    )
                    _read_fully(file, stored.view(torch.uint8).numpy().data)
                    if stored is not piece:
                        piece.copy_(stored)
        except OSError as error:
            raise not_loadable("weights", str(self.file), error) from error
        return tensor


def _read_fully(file: FileIO, wanted: memoryview) -> None:
    while len(wanted):
        count = file.readinto(wanted)
        if not count:
            raise OSError("the file is shorter than it was")
        wanted = wanted[count:]


def _stored_tensors(files: Iterable[Path]) -> dict[str, StoredTensor]:
    """All tensors of some safetensors, by their names.

    The format: eight bytes that say how long the header is, the header in JSON, the data.
    """
    found = {}
    for path in files:
        with safe_open(path, "pt", backend="pread"):
            pass  # Checks the header.
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        for name, entry in header.items():
            found[name] = StoredTensor(
                file=path,
                offset=8 + size + entry["data_offsets"][0],
                shape=tuple(entry["shape"]),
                dtype=_DTYPES[entry["dtype"]],
            )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedWeights:
    """Where each weight of a model lies, by its name in the model."""

    places: dict[str, StoredTensor]

    def read(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        """Reads one weight in a precision of one's choice."""
        return self.places[name].read(dtype)


def load_upper_part(
    model_class: Any,
    config: Any,
    model_id: str,
    *,
    family: Family,
    trainable_layers: int,
    revision: str | None,
    options: dict[str, Any],
) -> tuple[Any, set[str], set[str], StreamedWeights]:
    """Loads a checkpoint in float32 without the weights below its trainable layers.

    Which tensor of the checkpoint becomes which weight, transformers alone knows: it renames some.
    So it is given, for each tensor, one number that is repeated to the tensor's shape and takes no
    room, and where that number turns up afterwards, the tensor belongs. What is new (the head) is
    drawn as ever.

    Args:
        model_class: The task model's class in transformers.
        config: Its configuration.
        model_id: Name on the Hub, or a folder.
        family: Its entry in the table.
        trainable_layers: How many of the top layers are read.
        revision: Branch, tag or commit on the Hub.
        options: More for `from_pretrained`.

    Returns:
        The model, its lower weights on the meta device; the names of new weights; those new by
        their size; where all others lie.

    Raises:
        UserError: The checkpoint cannot be read, or not in parts.
    """
    check_weight_files(model_id)
    try:
        stored = _stored_tensors(weight_files(model_id, revision))
        numbers = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in stored.items()}
        with quiet_libraries():
            model, info = model_class.from_pretrained(
                None,
                config=config,
                state_dict=dict(numbers),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
    except (OSError, RuntimeError, KeyError, SafetensorError) as error:
        raise not_loadable("weights", model_id, error) from error
    model.name_or_path = model.config.name_or_path = model_id
    mismatched = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    missing = set(info["missing_keys"]) | mismatched
    by_address = {number.data_ptr(): stored[name] for name, number in numbers.items()}
    state = {name: value for name, value in model.state_dict().items() if name not in missing}
    places = {
        name: by_address[value.data_ptr()]
        for name, value in state.items()
        if value.data_ptr() in by_address
    }
    if strange := sorted(set(state) - set(places)):
        raise UserError(
            f"stream_frozen_layers: the checkpoint of {model_id!r} does not hold {strange[0]} as "
            "the model uses it, so it cannot be read in parts; leave the flag out"
        )
    weights = StreamedWeights(places=places)
    prefix = f"{model.base_model_prefix}."
    lower = tuple(f"{prefix}{name}." for name in frozen_names(model, family, trainable_layers))
    placed = {
        name: value.to("meta") if name.startswith(lower) else weights.read(name, value.dtype)
        for name, value in state.items()
    }
    model.load_state_dict(placed, strict=False, assign=True)
    return model, missing, mismatched, weights
