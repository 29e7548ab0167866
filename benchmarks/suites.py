"""What the suites of compare_methods.py run: one entry a row of the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from random_models import SHAPES

__all__ = ["METHODS", "SUITES", "Entry", "own_entries"]

METHODS: dict[str, tuple[str, ...]] = {
    "full": ("--method", "full"),
    "lora": (),
    "lora-cached3": ("--trainable-layers", "3", "--cache-frozen-layers"),
    "lora-8bit": ("--quantization", "8bit"),
    "lora-nf4": ("--quantization", "nf4"),
    "ia3": ("--method", "ia3"),
    "prefix": ("--method", "prefix"),
    "prompt": ("--method", "prompt"),
    "bias": ("--method", "bias"),
    "head": ("--method", "head"),
}
"""What is compared: the flags that make LoRA's recipe train in this way."""
_CHOSEN = {
    "lora-int8": ("--quantization", "int8"),
    "full-nodropout": ("--method", "full", "--dropout", "0"),
    "lora-nodropout": ("--dropout", "0"),
    "lora-r16": ("--lora-r", "16"),
    "lora-r64": ("--lora-r", "64"),
    "lora-cached3-nodropout": (
        *("--trainable-layers", "3", "--cache-frozen-layers"),
        *("--dropout", "0"),
    ),
    "lora-cached2-fast": (
        *("--trainable-layers", "2", "--cache-frozen-layers"),
        *("--learning-rate", "2e-3"),
    ),
    "lora-cached4": ("--trainable-layers", "4", "--cache-frozen-layers"),
    "lora-cached4-fast": (
        *("--trainable-layers", "4", "--cache-frozen-layers"),
        *("--learning-rate", "2e-3"),
    ),
}
"""Other settings to compare: most did best on the validation split of one data set
(`chosen_on_validation.json`)."""

_RECIPES = {
    "ner": "recipes/lora_ner.py",
    "classification": "recipes/lora_classification.py",
    "relation": "recipes/lora_relation.py",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row: a program with flags, run once a seed, each in a process of its own.

    Attributes:
        name: Of the row and of its result files.
        program: The file, below the root of the source tree.
        flags: Its flags, apart from files, seed and folders.
        files: Flags that name a file, and the file below the data folder.
        shape: A model of `random_models.py` to make and train, instead of a pretrained one.
        text_tokens: Length of the made-up texts that go with it.
        no_scores: Why the scores of its runs mean nothing, or empty; then they are left out.
    """

    name: str
    program: str
    flags: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    shape: str | None = None
    text_tokens: int = 0
    no_scores: str = ""


def _entries(
    prefix: str,
    task: str,
    methods: Sequence[str],
    *flags: str,
    files: Mapping[str, str] | None = None,
) -> list[Entry]:
    return [
        Entry(
            name=f"{prefix}-{method}",
            program=_RECIPES[task],
            flags=(*flags, *(METHODS | _CHOSEN)[method]),
            files=files or {},
        )
        for method in methods
    ]


def own_entries(
    task: str, flags: Sequence[str], methods: Sequence[str] = tuple(METHODS)
) -> list[Entry]:
    """Every method on the user's own data, which the flags name."""
    return _entries("own", task, methods, *flags)


_WNUT17 = {
    "train-file": "wnut17/train.conll",
    "validation-file": "wnut17/dev.conll",
    "test-file": "wnut17/test.conll",
}
_BANKING77 = {"train-file": "banking77/train.csv", "test-file": "banking77/test.csv"}
_FEW_STEPS = "40 steps, for memory and speed alone"
_RANDOM = "the weights are random; memory and speed do not depend on their values"

_QUICK = _entries("sample", "ner", tuple(METHODS), "--num-train-epochs", "2")

_STANDARD = [
    *_entries(
        "wnut17",
        "ner",
        (
            *(name for name in METHODS if name != "prompt"),
            *("lora-int8", "lora-cached2-fast", "lora-cached3-nodropout"),
            *("lora-nodropout", "full-nodropout", "lora-r16", "lora-r64"),
        ),
        *("--num-train-epochs", "3"),
        files=_WNUT17,
    ),
    *(
        Entry(
            name=f"wnut17-{name.replace('_', '-')}",
            program=f"benchmarks/{name}.py",
            flags=("--num-train-epochs", "3"),
            files=_WNUT17,
        )
        for name in ("trainer_peft", "trainer_peft_tuned")
    ),
    *_entries(
        "banking77-3",
        "classification",
        ("full", "lora", "lora-cached4", "lora-cached4-fast", "lora-nf4", "lora-int8"),
        *("--num-train-epochs", "3"),
        files=_BANKING77,
    ),
    *(
        replace(
            entry,
            program="recipes/lora_gpt_classification.py",
            no_scores=_FEW_STEPS,
        )
        for entry in _entries(
            "smollm2-steps",
            "classification",
            ("full", "lora", "lora-cached3", "lora-nf4"),
            *("--max-steps", "40"),
        )
    ),
]

_GPU = [
    Entry(
        name=f"{shape}-{tokens}-{method}",
        program="recipes/lora_classification.py",
        flags=(
            *("--max-steps", "20", "--max-length", str(tokens)),
            *("--dropout", "model", *METHODS[method]),  # as for NER
        ),
        shape=shape,
        text_tokens=tokens,
        no_scores=_RANDOM,
    )
    for shape, tokens, method in product(
        (name for name, shape in SHAPES.items() if not shape.tiny),
        (128, 512),
        ("full", "lora", "lora-cached3", "lora-8bit", "lora-nf4"),
    )
]

_SEMEVAL = {
    "train-file": "semeval2010_task8/train.jsonl",
    "test-file": "semeval2010_task8/test.jsonl",
}
_RELATION = [
    *_entries("semeval", "relation", ("lora", "full"), files=_SEMEVAL),
    *_entries(
        *("semeval-3", "relation", ("lora", "full"), "--num-train-epochs", "3"), files=_SEMEVAL
    ),
    # LoRA's default rate is made for more weights and a trained pooler: a peer gets its own.
    Entry(
        name="semeval-trainer-peft-tuned-0.001",
        program="benchmarks/trainer_peft_relation.py",
        flags=("--learning-rate", "0.001"),
        files=_SEMEVAL,
    ),
    *(
        Entry(
            name=f"semeval-3-trainer-peft-tuned-{rate}",
            program="benchmarks/trainer_peft_relation.py",
            flags=("--num-train-epochs", "3", "--learning-rate", rate),
            files=_SEMEVAL,
        )
        for rate in ("0.001", "0.003")
    ),
]

SUITES = {"quick": _QUICK, "standard": _STANDARD, "gpu": _GPU, "relation": _RELATION}
