"""A model whose lower layers stay in the checkpoint, and are read one at a time where they run.

Of a checkpoint of L layers, the embeddings and the lower L - K layers are left where they are: the
model has stand-ins in their place from the start. `StreamedPart` reads one of them, runs it on
every example, and forgets it, so memory holds the upper K layers, the head, and one lower layer,
however many there are.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.frozen.lower_part import LowerPart, frozen_names, put_module
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import Family
from lowcost_ft.models.hub import not_loadable, quiet_libraries, weight_files
from lowcost_ft.models.safety import check_weight_files

__all__ = ["Seen", "StreamedPart", "StreamedWeights", "load_upper_part", "stage_bytes"]

_CHUNK_BYTES = 4 * 2**20
"""A weight of another precision is converted so many bytes at a time."""

_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool},
}
"""The names that safetensors has for them."""

Seen = Callable[[str, torch.Tensor], None]
"""Is shown each weight that is read: its path inside the backbone, and the weight."""


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
) -> tuple[Any, set[str], StreamedWeights]:
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
        The model, its lower weights on the meta device; the names of new weights; where all others
        lie.

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
    return model, missing, weights


def lower_stages(part: LowerPart, family: Family) -> list[list[str]]:
    """Names of the modules that are in memory together: the embeddings, then each layer."""
    stages = [[name for name in part.modules if name in family.embeddings]]
    stages += [[f"{family.layers}.{index}"] for index in range(part.first_layer)]
    if part.first_layer:
        stages[1] += [name for name in part.modules if name in family.after_first_layer]
    return stages


def stage_bytes(part: LowerPart, family: Family) -> list[int]:
    """Bytes of the weights of each stage; the model may be on the meta device."""
    return [
        sum(p.nbytes for name in stage for p in part.modules[name].parameters())
        for stage in lower_stages(part, family)
    ]


class StreamedPart(LowerPart):
    """The lower part of a model that `load_upper_part` loaded.

    Its modules never come into the model all at once, nor back in the end: the model runs inside
    `entering` only.

    Attributes:
        stages: Names of the modules that are in memory together: the embeddings, then each layer.
        num_parameters: Of all stages.
        largest_stage_bytes: The most that a stage's weights take.
        bytes_read: Of weights, so far, in the precision that they are used in.
    """

    def __init__(
        self, model: Any, family: Family, trainable_layers: int, weights: StreamedWeights
    ) -> None:
        """Puts the stand-ins in place.

        Args:
            model: What `load_upper_part` returned, or that with adapters in its upper layers.
            family: Its entry in the table.
            trainable_layers: How many of the top layers are there.
            weights: Where the others lie.
        """
        super().__init__(model, family, trainable_layers)
        self._family, self._weights = family, weights
        self.stages = lower_stages(self, family)
        self.largest_stage_bytes = max(stage_bytes(self, family))
        self.num_parameters = sum(p.numel() for m in self.modules.values() for p in m.parameters())
        self.bytes_read = 0
        self._device: torch.device | None = None
        for name in self.modules:
            put_module(model.base_model, name, self.stand_in(name))

    def of(self, model: Any) -> "StreamedPart":
        """The same part of another model of the same checkpoint, which then has stand-ins too."""
        other = StreamedPart(model, self._family, self.num_trainable, self._weights)
        other._tuple_sizes = self._tuple_sizes
        return other

    def run(self, inputs: dict[str, torch.Tensor], seen: Seen | None = None) -> torch.Tensor:
        """Runs all stages on one micro-batch, which reads every weight of the lower part once.

        Args:
            inputs: What the model takes, `(batch, sequence)` each.
            seen: Is shown the weights.

        Returns:
            What enters the first trainable layer, `(batch, sequence, hidden)`.
        """
        states: torch.Tensor | None = None
        with self.upper_waiting():
            for stage in range(len(self.stages)):
                with self.in_memory(stage, seen):
                    states = self.run_stage(stage, inputs, states)
        assert states is not None
        return states

    @contextmanager
    def upper_waiting(self) -> Iterator[None]:
        """Inside the block the trainable layers of a model on a GPU wait in the host's memory.

        They do not run then, and the embeddings alone may fill a small card.
        """
        device = self._model.device
        self._device = device
        try:
            self._move_upper(torch.device("cpu"))
            yield
        finally:
            self._move_upper(device)
            self._device = None

    def _move_upper(self, device: torch.device) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # Pieces of other sizes are wanted next.
        for layer in self._upper:
            layer.to(device)

    @contextmanager
    def in_memory(self, stage: int, seen: Seen | None = None) -> Iterator[None]:
        """Inside the block the modules of one stage are in the model, on its device."""
        backbone = self._model.base_model
        names = self.stages[stage]
        waiting = {name: backbone.get_submodule(name) for name in names}
        try:
            for name in names:
                put_module(backbone, name, self._read(name, seen))
            yield
        finally:
            for name in names:
                put_module(backbone, name, waiting[name])

    def run_stage(
        self, stage: int, inputs: dict[str, torch.Tensor], states: torch.Tensor | None
    ) -> torch.Tensor:
        """Runs a stage that is `in_memory`.

        Args:
            stage: Its number.
            inputs: What the model takes, `(batch, sequence)` each.
            states: What the stage before returned; None for the first.

        Returns:
            What enters the next layer, `(batch, sequence, hidden)`.
        """
        backbone = self._model.base_model
        running = {name: backbone.get_submodule(name) for name in self.stages[stage]}
        entry = layer_list(self._model, self._family)[stage]
        with self.entering(states) if states is not None else nullcontext():
            return self._run_until(entry, running, inputs)

    def taken_out(self) -> Any:
        """The lower part is out of the model always."""
        return nullcontext()

    def tensors(self) -> Iterator[torch.Tensor]:
        """None: nothing of it is in memory."""
        return iter(())

    def _read(self, name: str, seen: Seen | None) -> nn.Module:
        module = copy.deepcopy(self.modules[name])
        weights = {}
        for key, empty in module.state_dict().items():
            path = f"{name}.{key}"
            source = f"{self._model.base_model_prefix}.{path}"
            weights[key] = self._weights.read(source, empty.dtype)
            self.bytes_read += weights[key].nbytes
            if seen is not None:
                seen(path, weights[key])
        module.load_state_dict(weights, assign=True)
        return module.to(self._device or self._model.device)
