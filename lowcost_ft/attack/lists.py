"""Lists of words and of entities that an attack puts in: from files, and what training has seen."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lowcost_ft.data.augmentation import mentions
from lowcost_ft.data.entity_list import read_entity_list
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.pipeline.run_splits import load_run_splits

__all__ = ["packaged_synonyms", "read_synonyms", "unseen_entities"]

_SHOWN_PROBLEMS = 5


def packaged_synonyms() -> dict[str, list[str]]:
    """The English synonyms that come with the package."""
    text = files("lowcost_ft.attack").joinpath("synonyms.txt").read_text("utf-8")
    return _groups(text.splitlines())


def read_synonyms(path: str) -> dict[str, list[str]]:
    """Reads a list of synonyms: on each line words that can stand for one another, with tabs.

    Raises:
        UserError: It cannot be read, or a line has fewer than two words.
    """
    try:
        lines = Path(path).expanduser().read_bytes().decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--synonyms: cannot read {path}: {error}") from error
    problems = [
        f"{path}:{number}: write two words or more, with a tab between them: big<tab>large"
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#") and len(_words(line)) < 2
    ]
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        shown = problems[:_SHOWN_PROBLEMS] + [f"and {more:,} more lines like these"] * (more > 0)
        raise UserError(shown, total=len(problems))
    return _groups(lines)


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.split("\t") if word.strip()]


def _groups(lines: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        words = [] if line.startswith("#") else _words(line)
        for word in words:
            others = found.setdefault(word.lower(), {})
            others.update(dict.fromkeys(other for other in words if other != word))
    return {word: list(others) for word, others in found.items()}


def unseen_entities(
    run: Mapping[str, Any], task: Any, examples: Sequence[Any], listed: str | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Entities to put in the place of others, none of which training has seen.

    They are those of a list, or else those of the test file itself.

    Args:
        run: The content of `run.json`.
        task: Its task.
        examples: The test file.
        listed: A file with a type, a tab and an entity on each line.

    Returns:
        The entities by type, and what to tell of them.

    Raises:
        UserError: The list cannot be read.
    """
    notices: list[str] = []
    own = mentions(text for example in examples for text in task.spanned_texts(example))
    train = _training_examples(run)
    known = mentions(text for example in train or () for text in task.spanned_texts(example))
    pool: Mapping[str, Sequence[str]] = own
    if listed is not None:
        # A list for --augment-entities may have types that this test file lacks.
        of_run = {str(label).partition("-")[2] for label in run.get("labels") or ()} - {""}
        types = dict.fromkeys(map(task.listed_type, (*own, *known, *sorted(of_run))))
        listed_pool, _ = read_entity_list(Path(listed).expanduser(), [*types], flag="--entities")
        pool = {label: listed_pool.get(task.listed_type(label), ()) for label in own}
    seen: set[str] = set()
    if train is None:
        notices.append(
            "the run's training data are not at hand: entities that are put in may be known from "
            "them"
        )
    else:
        seen = {text.casefold() for texts in known.values() for text in texts}
    unseen = {
        label: [text for text in texts if text.casefold() not in seen]
        for label, texts in pool.items()
    }
    if seen:
        left = sum(map(len, unseen.values()))
        notices.append(
            f"entities: {left:,} of {sum(map(len, pool.values())):,} to put in are not in training"
        )
    return {label: texts for label, texts in unseen.items() if texts}, notices


def _training_examples(run: Mapping[str, Any]) -> Sequence[Any] | None:
    """What a run was trained on, its validation rows included; None where that is not at hand."""
    config = run["config"]
    if file := config.get("train_file"):
        if not Path(str(file)).expanduser().exists():
            return None
        found: Sequence[Any] = read_labelled_file(run, str(file), notices=[])
        return found
    if (run.get("data") or {}).get("in_python"):
        return None
    try:
        splits = load_run_splits({**config, "task": run["task"]}, with_test=False)
    except UserError:  # A data set of the Hub that is not here any more.
        return None
    return [*splits.train, *splits.validation]
