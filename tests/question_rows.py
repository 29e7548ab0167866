"""Questions that a tiny model can learn: where a person lives, in texts of any length."""

import random

_PEOPLE = ("Anna", "David", "Maria", "Okoye", "Chen")
_PLACES = ("Oslo", "Nairobi", "Madrid", "Berlin", "Lagos", "London", "Hamburg")
_FILLER = "Please send the lamp on Monday."

__all__ = ["question_rows"]


def question_rows(count, *, seed=0, null_every=4, sentences=1):
    """Rows with `id`, `title`, `question`, `context` and `answers`.

    Args:
        count: How many.
        seed: Of the draws.
        null_every: Each row of this number has no answer; 0 for none.
        sentences: Most sentences in front of the answer.
    """
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        person, other = draw.sample(_PEOPLE, 2)
        place, elsewhere = draw.sample(_PLACES, 2)
        before = " ".join([_FILLER] * draw.randint(0, sentences))
        lives = f"{other} lives in {elsewhere}."
        impossible = bool(null_every) and number % null_every == 0
        if not impossible:
            lives += f" {person} lives in {place}."
        context = f"{before} {lives}".strip()
        answers = {"text": [], "answer_start": []}
        if not impossible:
            answers = {"text": [place], "answer_start": [context.rindex(place)]}
        rows.append(
            {
                "id": f"q{number}",
                "title": f"article {number % 5}",
                "question": f"Where does {person} live?",
                "context": context,
                "answers": answers,
            }
        )
    return rows
