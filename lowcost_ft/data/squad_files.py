"""JSON in the layout of SQuAD 1.1 and 2.0, articles of paragraphs of questions -> rows."""

from collections.abc import Iterator
from typing import Any

from lowcost_ft.data.rows import Row, counted

__all__ = ["squad_rows"]


def squad_rows(
    path: str, whole: Any, problems: list[str], notices: list[str] | None
) -> list[Row] | None:
    """Rows of a file that holds `{"data": [{"title", "paragraphs": [{"context", "qas"}]}]}`.

    Args:
        path: For the messages.
        whole: The value of the whole file, which may also be the list of articles alone.
        problems: Gets a line for each part that is not as the layout wants it.
        notices: Gets a line that says how the file was read; None: that is not wanted.

    Returns:
        A row a question: its own fields, and `title` and `context`; None for another layout.
    """
    articles = whole.get("data") if isinstance(whole, dict) else whole
    if not isinstance(articles, list) or not articles:
        return None
    if not all(isinstance(a, dict) and "paragraphs" in a for a in articles):
        return None
    # A list of paragraphs may also be training data of spaCy 2, which have no questions.
    if articles is whole and not any(map(_asks, articles)):
        return None
    rows = list(_rows(path, articles, problems))
    if notices is not None and rows:
        questions, of = counted(len(rows), "question"), counted(len(articles), "article")
        notices.append(f"{path}: read in the layout of SQuAD: {questions} about {of}")
    return rows


def _asks(article: dict[str, Any]) -> bool:
    paragraphs = article["paragraphs"]
    found = paragraphs if isinstance(paragraphs, list) else ()
    return any(isinstance(paragraph, dict) and "qas" in paragraph for paragraph in found)


def _rows(path: str, articles: list[dict[str, Any]], problems: list[str]) -> Iterator[Row]:
    for number, article in enumerate(articles, 1):
        place = f"{path}:article {number}"
        for count, paragraph in enumerate(_objects(article, "paragraphs", place, problems), 1):
            within = f"{place}, paragraph {count}"
            for index, question in enumerate(_objects(paragraph, "qas", within, problems), 1):
                values = {"title": article.get("title"), "context": paragraph.get("context")}
                yield Row({**question, **values}, f"{within}, question {index}")


def _objects(
    holder: dict[str, Any], key: str, place: str, problems: list[str]
) -> list[dict[str, Any]]:
    found = holder.get(key)
    if isinstance(found, list) and all(isinstance(item, dict) for item in found):
        return found
    problems.append(f'{place}: "{key}" must be a list of objects, as in the layout of SQuAD')
    return []
