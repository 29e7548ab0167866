"""Exports of Prodigy: spans, relations, choices and yes-or-no questions."""

from pathlib import Path
from typing import Any

import pytest
from export_files import read, write

from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits Berlin"
WORDS = [(0, 4), (5, 10), (11, 17), (18, 24)]
TOKENS = [
    {"text": TEXT[start:end], "start": start, "end": end, "id": number, "ws": end < len(TEXT)}
    for number, (start, end) in enumerate(WORDS)
]
JANE = {"start": 0, "end": 10, "token_start": 0, "token_end": 1, "label": "PER"}
BERLIN = {"start": 18, "end": 24, "token_start": 3, "token_end": 3, "label": "LOC"}


def row(**more: Any) -> dict[str, Any]:
    return {"text": TEXT, "_input_hash": 1, "_task_hash": 2, "answer": "accept"} | more


def test_spans_are_entities_and_tokens_are_not_words(tmp_path: Path) -> None:
    given = row(tokens=TOKENS, spans=[JANE, BERLIN], meta={"source": "x"})
    rows, problems, notices = read(write(tmp_path, [given], "a.jsonl"))
    assert problems == []
    assert rows == [
        {
            "text": TEXT,
            "meta": {"source": "x"},
            "entities": [
                {"id": "T1", "start": 0, "end": 10, "label": "PER"},
                {"id": "T2", "start": 18, "end": 24, "label": "LOC"},
            ],
        }
    ]
    assert any("read as an export of Prodigy" in notice for notice in notices)


def test_entities_of_another_program_that_lists_tokens_are_kept(tmp_path: Path) -> None:
    spans = [{"start": 18, "end": 24, "label": "LOC"}]
    path = write(tmp_path, [{"text": TEXT, "tokens": TOKENS, "entities": spans}], "a.jsonl")
    assert read(path)[0][0]["entities"] == spans
    splits = load_splits("ner", train_file=path, validation_share=0)
    assert splits.train[0].tags == ("O", "O", "O", "B-LOC")


def test_token_end_is_the_last_token(tmp_path: Path) -> None:
    by_tokens = {"token_start": 0, "token_end": 1, "label": "PER"}
    rows, _, _ = read(write(tmp_path, [row(tokens=TOKENS, spans=[by_tokens])], "a.jsonl"))
    assert (rows[0]["entities"][0]["start"], rows[0]["entities"][0]["end"]) == (0, 10)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"token_end": 2}, "is shifted: its tokens 0 to 2"),
        ({"end": 9}, "is shifted: its tokens 0 to 1"),
        ({"token_end": 4}, "is not one of the row's 4 tokens"),
        ({"label": None}, "has no label"),
        ({"start": "0"}, "needs start and end"),
    ],
)
def test_a_span_that_says_two_things_is_a_problem(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    given = [row(tokens=TOKENS, spans=[BERLIN]), row(tokens=TOKENS, spans=[JANE | change])]
    _, problems, _ = read(write(tmp_path, given, "a.jsonl"))
    assert len(problems) == 1 and told in problems[0] and "a.jsonl:2: " in problems[0]


@pytest.mark.parametrize("mark", [{"_is_binary": True}, {"_view_id": "ner"}])
def test_partial_annotations_are_never_read_as_outside(tmp_path: Path, mark: Any) -> None:
    path = write(tmp_path, [row(spans=[JANE], **mark), row(spans=[BERLIN])], "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1 and "1 row of yes-or-no questions" in problems[0]
    rows, problems, _ = read(path, labelled=False)
    assert [r["text"] for r in rows] == [TEXT, TEXT] and problems == []


def test_spans_of_a_model_that_were_accepted_one_by_one_are_partial(tmp_path: Path) -> None:
    guesses = [row(spans=[span | {"score": 0.4}], meta={"score": 0.4}) for span in (JANE, BERLIN)]
    guesses.append(row(spans=[JANE | {"score": 0.1}], answer="reject"))
    _, problems, _ = read(write(tmp_path, guesses, "a.jsonl"))
    assert len(problems) == 1 and "2 rows of yes-or-no questions" in problems[0]
    guesses[0]["spans"] = [JANE | {"score": 0.4}, BERLIN]  # Corrected by hand.
    assert read(write(tmp_path, guesses, "a.jsonl"))[1] == []


@pytest.mark.parametrize("head", [0, 1])
def test_relations_name_spans_by_a_token(tmp_path: Path, head: int) -> None:
    relation: dict[str, Any] = {"head": head, "child": 3, "label": "visits", "color": "#fff"}
    rows, problems, _ = read(
        write(tmp_path, [row(tokens=TOKENS, spans=[JANE, BERLIN], relations=[relation])], "a.jsonl")
    )
    assert problems == []
    assert rows[0]["relations"] == [{"head": "T1", "tail": "T2", "label": "visits"}]
    whole = relation | {"head_span": JANE, "child_span": BERLIN | {"label": None}}
    given = row(tokens=TOKENS, spans=[JANE], relations=[whole])
    rows, _, notices = read(write(tmp_path, [given], "a.jsonl"))
    assert [e["label"] for e in rows[0]["entities"]] == ["PER", "token"]
    assert any("1 word that a relation names and no span marks" in notice for notice in notices)


def test_choices_are_classes(tmp_path: Path) -> None:
    options = [{"id": "a", "text": "A!"}, {"id": 2, "text": "B!"}]
    given = [row(options=options, accept=accepted) for accepted in (["a"], ["a", 2], [])]
    rows, problems, _ = read(write(tmp_path, given, "a.jsonl"))
    assert [r["label"] for r in rows] == [["a"], ["a", "2"], []] and problems == []
    _, problems, _ = read(write(tmp_path, [row(options=options, accept=["c"])], "a.jsonl"))
    assert len(problems) == 1 and 'the option "c"' in problems[0]


def test_questions_that_were_asked_of_every_text_give_all_of_its_labels(tmp_path: Path) -> None:
    answers = {"one": "accept accept", "two": "accept reject", "three": "reject reject"}
    given = [
        {"text": text, "_input_hash": number, "label": label, "answer": answer}
        for number, (text, both) in enumerate(answers.items())
        for label, answer in zip("ab", both.split(), strict=True)
    ]
    rows, problems, notices = read(write(tmp_path, given, "a.jsonl"))
    assert [r["label"] for r in rows] == [["a", "b"], ["a"], []] and problems == []
    assert any("yes-or-no questions about 2 labels" in notice for notice in notices)
    _, problems, _ = read(write(tmp_path, given[:-1], "a.jsonl"))
    assert len(problems) == 1 and "were not asked for all 2 labels" in problems[0]


def test_an_accepted_question_is_the_class_where_not_all_were_asked(tmp_path: Path) -> None:
    given = [row(text=f"t{i}", _input_hash=i, label="ab"[i % 2]) for i in range(4)]
    given[3]["answer"] = "reject"
    rows, problems, notices = read(write(tmp_path, given, "a.jsonl"))
    assert [r["label"] for r in rows] == ["a", "b", "a"] and problems == []
    assert any('1 row left out, since the annotator\'s "answer"' in notice for notice in notices)


@pytest.mark.parametrize("answers", [("accept", "reject"), ("reject", "accept")])
def test_two_answers_to_one_question_are_a_problem(tmp_path: Path, answers: Any) -> None:
    given = [row(label="a", answer=answer) for answer in answers]
    given.append(row(text="Ann", _input_hash=2, label="b"))
    path = write(tmp_path, given, "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1
    assert problems[0].startswith(f'{path}:2: the answer to "a" is "{answers[1]}", and {path}:1 ')
    # Two people may differ.
    for who, one in zip("xy", given, strict=False):
        one["_annotator_id"] = who
    rows, problems, _ = read(write(tmp_path, given, "a.jsonl"))
    assert [r["label"] for r in rows] == ["a", "b"] and problems == []


def test_a_question_that_was_answered_twice_alike_counts_once_and_is_told(tmp_path: Path) -> None:
    given = [row(label="a"), row(label="a"), row(text="Ann", _input_hash=2, label="b")]
    path = write(tmp_path, given, "a.jsonl")
    rows, problems, notices = read(path)
    assert [r["label"] for r in rows] == ["a", "b"] and problems == []
    told = f"{path}: 1 row with the text, label and answer of a row before read once, first"
    assert any(notice == f"{told} {path}:2" for notice in notices)
    # Files put together may count their texts alike, and files of other programs may not at all.
    for hashes in ((1, 1), (None, None)):
        given = [row(text=t, label="a", _input_hash=h) for t, h in zip("xy", hashes, strict=True)]
        assert [r["text"] for r in read(write(tmp_path, given, "b.jsonl"))[0]] == ["x", "y"]


def test_sessions_are_annotators(tmp_path: Path) -> None:
    given = [
        row(tokens=TOKENS, spans=spans, _annotator_id=who)
        for who, spans in (("x", [JANE]), ("y", [JANE, BERLIN]), ("x", [JANE]))
    ]
    _, problems, _ = read(write(tmp_path, given, "a.jsonl"))
    assert len(problems) == 1 and "entity F1 between annotators 0.667" in problems[0]
    rows, problems, _ = read(write(tmp_path, given, "a.jsonl"), annotations="majority")
    assert [len(r["entities"]) for r in rows] == [1, 1] and problems == []


@pytest.mark.parametrize("given", [1, None])
def test_texts_with_one_hash_are_not_taken_for_one(tmp_path: Path, given: Any) -> None:
    rows = [row(text=n, spans=[], _input_hash=given, _annotator_id=n) for n in ("Ann", "Bob")]
    found, problems, _ = read(write(tmp_path, rows, "a.jsonl"))
    assert problems == [] and [r["text"] for r in found] == ["Ann", "Bob"]
