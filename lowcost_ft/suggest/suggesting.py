"""From a pool of rows without labels to those that should be labelled next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.embedding import load_embedder
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.record.run_file import load_run
from lowcost_ft.suggest.pool import Pool, read_pool
from lowcost_ft.suggest.selection import choose_rows, choose_typical

__all__ = ["Suggestion", "suggest_rows"]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A row to label.

    Attributes:
        source: File and line.
        place: Its number in the pool's file, from 1.
        row: Its text, and under `entities` or `label` what the model answers; with that answer's
            `score` where it has one.
        uncertainty: How unsure the model is (`Task.uncertainty`); None without a model.
        told: The answer and the text, for the terminal.
    """

    source: str
    place: int
    row: dict[str, Any]
    uncertainty: float | None
    told: str


def suggest_rows(
    pool_file: str,
    *,
    run_folder: str | None = None,
    number: int = 50,
    model_id: str | None = None,
    labelled_file: str | None = None,
    reading: ReadingOptions | None = None,
    base_model: str | None = None,
    revision: str | None = None,
    max_length: int = 256,
    seed: int = 0,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    notices: list[str],
) -> list[Suggestion]:
    """Chooses rows that a model is unsure of and that differ, or rows that stand for many others.

    Args:
        pool_file: Rows without labels, in any form that training reads.
        run_folder: A completed run, whose model is asked; None: only how rows differ counts.
        number: How many rows.
        model_id: The pretrained model whose embeddings say how rows differ. None: that which the
            run was trained from; without a run, all-MiniLM-L6-v2.
        labelled_file: Rows that are labelled already.
        reading: How the files are read; None: all is guessed.
        base_model: Where the run's base model lies now, if it has moved.
        revision: Branch, tag or commit of `model_id` on the Hub.
        max_length: Tokens of a text that are embedded.
        seed: Decides between equals.
        trust_remote_code: Whether the model's own Python code may run.
        num_threads: CPU threads.
        notices: Gets a line for what the user should know.

    Raises:
        UserError: A file, the run or the model cannot be used, or the run's answers have no
            probabilities.
    """
    run = None if run_folder is None else load_run(run_folder)
    pool = read_pool(
        pool_file, run=run, labelled_file=labelled_file, reading=reading, notices=notices
    )
    if len(pool.rows) <= number:
        left = len(pool.rows)
        told = "the 1 row left is" if left == 1 else f"all {left:,} rows left are"
        notices.append(f"{pool_file}: {told} suggested")
    predictor: Predictor | None = None
    answers: list[dict[str, Any]] = []
    uncertainty: np.ndarray | None = None
    if run is not None:
        assert run_folder is not None
        predictor = load_predictor(
            run_folder,
            base_model=base_model,
            trust_remote_code=trust_remote_code,
            num_threads=num_threads,
        )
        # One row tells whether there are probabilities, before all of them are answered.
        before = list(predictor.notices)
        if predictor.predict_with_uncertainty(pool.rows[:1])[1] is None:
            raise UserError(
                f"{run_folder}: a model for {_named(run)} does not say how sure it is; leave RUN "
                "out, to choose by how the texts differ"
            )
        predictor.notices[:] = before
        answers, uncertainty = predictor.predict_with_uncertainty(pool.rows)
        notices += predictor.notices
    states, known = _embedded(
        pool,
        with_labelled=uncertainty is None,
        model_id=model_id or base_model or (run["model_id"] if run else DEFAULT_MODEL_ID),
        revision=revision or (None if run is None or model_id else run["config"].get("revision")),
        max_length=max_length,
        trust_remote_code=trust_remote_code,
    )
    if uncertainty is None:
        chosen = choose_typical(states, number, labelled=known, seed=seed)
    else:
        chosen = choose_rows(states, uncertainty, number, seed=seed)
    return [
        _suggestion(
            pool,
            int(place),
            answers[place] if answers else None,
            None if uncertainty is None else float(uncertainty[place]),
            predictor,
        )
        for place in chosen
    ]


def _named(run: Mapping[str, Any]) -> str:
    kind = run.get("problem_type")
    return task_settings(run["task"]).title + (f" ({kind})" if kind else "")


def _embedded(
    pool: Pool,
    *,
    with_labelled: bool,
    model_id: str,
    revision: str | None,
    max_length: int,
    trust_remote_code: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Embeddings of the pool, and of what is labelled already."""
    embedder = load_embedder(
        model_id, max_length=max_length, revision=revision, trust_remote_code=trust_remote_code
    )
    states = embedder.texts(pool.texts)
    known: Sequence[str] = pool.labelled if with_labelled else ()
    return states, embedder.texts(known) if known else None


def _suggestion(
    pool: Pool,
    place: int,
    answer: Mapping[str, Any] | None,
    uncertainty: float | None,
    predictor: Predictor | None,
) -> Suggestion:
    example = pool.rows[place]
    if answer is None or predictor is None:
        row, told = dict(example), pool.texts[place]
    else:
        identity = {} if example.row_id is None else {"id": example.row_id}
        row, told = identity | dict(answer), predictor.task.answer_text(answer)
        row |= {name: value for name, value in pool.extras[place].items() if name not in row}
        for number, entity in enumerate(row.get("entities") or (), 1):
            entity.setdefault("id", f"T{number}")
    return Suggestion(
        source=pool.sources[place],
        place=pool.places[place],
        row=row,
        uncertainty=uncertainty,
        told=told,
    )
