"""Another question and another text; the answers follow, or stay whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from lowcost_ft.data.text_edits import SpannedText, is_glued
from lowcost_ft.tasks.editing import TextEditing
from lowcost_ft.tasks.question_answering.examples import QuestionExample
from lowcost_ft.tasks.question_answering.row_answers import Answer

__all__ = ["QuestionEditing"]

_LABEL = "answer"


class QuestionEditing(TextEditing):
    """The part of the task that changes texts.

    Answers that overlap, as those of several annotators do, are one span. It may move and stay as
    it is, but not change, since one could not tell what has become of each.
    """

    can_edit: ClassVar[bool] = True

    def spanned_texts(self, example: QuestionExample) -> tuple[SpannedText, ...]:
        """The question, and the text with its answers."""
        spans = tuple((start, end, _LABEL) for start, end in _merged(example))
        return SpannedText(example.question), SpannedText(example.context, spans)

    def with_texts(
        self, example: QuestionExample, texts: Sequence[SpannedText]
    ) -> QuestionExample | None:
        """The same answers in other texts.

        None where one of several that overlap has changed, or where one does not begin and end with
        a word any more: no model could give it.
        """
        question, context = texts
        if not question.text.strip():
            return None
        before = _merged(example)
        places = sorted((start, end) for start, end, _ in context.spans)
        if len(places) != len(before):
            return None
        glued = (
            is_glued(example.context, old, context.text, new)
            for old, new in zip(before, places, strict=True)
        )
        if any(glued):
            return None
        answers = []
        for answer in example.answers or ():
            last = answer.start + len(answer.text)
            index = next(
                n for n, (start, end) in enumerate(before) if start <= answer.start and last <= end
            )
            start, end = places[index]
            whole = before[index] == (answer.start, last)
            new = context.text[start:end]
            if not whole:
                if new != example.context[slice(*before[index])]:
                    return None
                first = start + answer.start - before[index][0]
                answers.append(replace(answer, start=first))
            elif new.strip() != new or not new:
                return None
            else:
                answers.append(Answer(start=start, text=new))
        truth = None if example.answers is None else tuple(answers)
        return replace(example, question=question.text, context=context.text, answers=truth)


def _merged(example: QuestionExample) -> list[tuple[int, int]]:
    """The places of the answers, those that overlap or touch joined."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((a.start, a.start + len(a.text)) for a in example.answers or ()):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
