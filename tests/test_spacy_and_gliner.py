"""Training data of spaCy and GLiNER."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from export_files import read, write

from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits Berlin"
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def spacy() -> Any:
    return pytest.importorskip("spacy")


def docbin(spacy: Any, path: Path, *documents: Any) -> str:
    spacy.tokens.DocBin(docs=documents).to_disk(path)
    return str(path)


def document(spacy: Any, **given: Any) -> Any:
    doc = spacy.blank("en").make_doc(TEXT)
    spans = [doc.char_span(0, 10, "PER"), doc.char_span(18, 24, "LOC")]
    doc.set_ents(spans, **given)
    return doc


def test_documents_of_spacy_are_rows(tmp_path: Path, spacy: Any) -> None:
    doc = document(spacy)
    doc.cats = {"travel": 1.0, "other": 0.0}
    plain = spacy.blank("en").make_doc("It rains")
    rows, problems, notices = read(docbin(spacy, tmp_path / "a.spacy", doc, plain))
    assert problems == [] and len(rows) == 1
    assert rows[0]["text"] == TEXT and rows[0]["label"] == ["travel"]
    assert [(e["start"], e["end"], e["label"]) for e in rows[0]["entities"]] == [
        (0, 10, "PER"),
        (18, 24, "LOC"),
    ]
    told = "\n".join(notices)
    assert (
        "training data in spaCy's form" in told and "1 row without an annotation left out" in told
    )
    rows, _, _ = read(str(tmp_path / "a.spacy"), labelled=False)
    assert [row["text"] for row in rows] == [TEXT, "It rains"]


def test_words_that_nobody_has_looked_at_are_not_outside(tmp_path: Path, spacy: Any) -> None:
    doc = document(spacy, default="missing")
    _, problems, _ = read(docbin(spacy, tmp_path / "a.spacy", doc))
    assert len(problems) == 1 and '1 of its 4 words, first "visits"' in problems[0]


def test_a_broken_file_and_a_missing_spacy_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.spacy"
    path.write_bytes(b"\x78\x9cnothing")
    _, problems, _ = read(str(path))
    assert len(problems) == 1 and "is a broken file of spaCy's" in problems[0]
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("spacy"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    _, problems, _ = read(str(path))
    assert len(problems) == 1 and "pip install 'lowcost_ft[spacy]'" in problems[0]


def test_spans_are_read_where_no_document_has_entities(tmp_path: Path, spacy: Any) -> None:
    doc = spacy.blank("en").make_doc(TEXT)
    doc.set_ents([])
    doc.spans["sc"] = [doc.char_span(0, 10, "PER")]
    plain = spacy.blank("en").make_doc("It rains")
    plain.set_ents([])
    saved = docbin(spacy, tmp_path / "a.spacy", doc, plain)
    given = [
        one.to_json() | {"spans": spans} for one, spans in ((doc, [[0, 10, "PER"]]), (plain, []))
    ]
    for path in (saved, write(tmp_path, given)):
        rows, problems, _ = read(path)
        assert problems == []
        found = [[(e["start"], e["end"], e["label"]) for e in row["entities"]] for row in rows]
        assert found == [[(0, 10, "PER")], []]
    # Beside entities, which are read, the spans are told.
    both = document(spacy)
    both.spans["sc"] = [both.char_span(11, 17, "VERB")]
    rows, problems, notices = read(docbin(spacy, tmp_path / "b.spacy", both, doc))
    assert problems == [] and [len(row["entities"]) for row in rows] == [2, 0]
    assert any('"spans" of 2 documents, first at' in notice for notice in notices)


@pytest.mark.parametrize(
    ("given", "spans", "illegal"),
    [
        ("Jane/U-PER went/O to/O New/I-LOC York/L-LOC", [(0, 4, "PER"), (13, 21, "LOC")], "New"),
        ("Jane/B-PER Smith/L-PER Acme/I-ORG Ltd/L-ORG", [(0, 10, "PER"), (11, 19, "ORG")], "Acme"),
        ("Jane/B-PER Smith/L-PER at/O Acme/U-ORG", [(0, 10, "PER"), (14, 18, "ORG")], None),
        ("Jane/B-PER Smith/I-PER at/O Acme/B-ORG", [(0, 10, "PER"), (14, 18, "ORG")], None),
    ],
)
def test_a_tag_of_version_2_that_continues_nothing_begins_an_entity(
    tmp_path: Path, given: str, spans: list[tuple[int, int, str]], illegal: str | None
) -> None:
    pairs = [one.split("/") for one in given.split()]
    tokens = [{"orth": word, "ner": tag} for word, tag in pairs]
    paragraph = {"raw": " ".join(word for word, _ in pairs), "sentences": [{"tokens": tokens}]}
    path = write(tmp_path, [{"id": 1, "paragraphs": [paragraph]}])
    rows, problems, notices = read(path)
    assert problems == []
    assert [(e["start"], e["end"], e["label"]) for e in rows[0]["entities"]] == spans
    told = [notice for notice in notices if "not allowed where they stand" in notice]
    assert len(told) == (illegal is not None)
    for notice in told:
        assert notice.startswith(f"{path}: 1 tag(s)") and f'"{illegal}" ("I-' in notice


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"label": ["a"], "value": 1}, '"cats" has the label "[\'a\']"; it must be a text'),
        ({"value": 1}, '"cats" has the label "None"; it must be a text'),
        ({"label": "a", "value": 0}, '"cats" gives "a" the values "1" and "0"; keep one'),
        ({"label": "b", "value": 0}, None),
    ],
)
def test_categories_of_version_2_have_one_label_each(
    tmp_path: Path, more: dict[str, Any], told: str | None
) -> None:
    tokens = [{"orth": "Jane"}]
    cats = [{"label": "a", "value": 1}, more]
    document = {"paragraphs": [{"raw": "Jane", "sentences": [{"tokens": tokens}], "cats": cats}]}
    path = write(tmp_path, [document], "a.jsonl")
    rows, problems, _ = read(path)
    if told is None:
        assert problems == [] and rows[0]["label"] == ["a"]
    else:
        assert len(problems) == 1 and problems[0].startswith(f"{path}:1: {told}")


def test_an_annotator_for_spacy_wraps_its_rows(tmp_path: Path) -> None:
    pair = [TEXT, {"entities": [[0, 10, "PER"]]}]
    rows, problems, _ = read(write(tmp_path, {"classes": ["PER"], "annotations": [pair, None]}))
    assert problems == [] and rows[0]["entities"][0]["label"] == "PER"


GLINER: dict[str, Any] = {
    "tokenized_text": WORDS,
    "ner": [[0, 1, "PER"], [3, 3, "LOC"]],
    "relations": [[0, 1, "visits"]],
}


def test_the_last_word_of_a_span_is_inside_it(tmp_path: Path) -> None:
    rows, problems, notices = read(write(tmp_path, [GLINER]))
    assert problems == [] and any("GLiNER" in notice for notice in notices)
    assert rows[0]["text"] == TEXT and rows[0]["tokens"] == WORDS
    assert rows[0]["tags"] == ["B-PER", "I-PER", "O", "B-LOC"]
    assert [(e["start"], e["end"]) for e in rows[0]["entities"]] == [(0, 10), (18, 24)]
    assert rows[0]["relations"] == [{"head": "T1", "tail": "T2", "label": "visits"}]
    many = [GLINER | {"tokenized_text": [*WORDS, str(number)]} for number in range(20)]
    splits = load_splits("ner", train_file=write(tmp_path, many))
    assert splits.train[0].tags == ("B-PER", "I-PER", "O", "B-LOC", "O")


def test_fields_of_a_row_are_kept_without_its_labels(tmp_path: Path) -> None:
    path = write(tmp_path, [GLINER | {"id": "n7", "source": "wire"}])
    rows, problems, _ = read(path, labelled=False)
    assert problems == [] and (rows[0]["id"], rows[0]["source"]) == ("n7", "wire")
    assert "ner" not in rows[0] and "relations" not in rows[0]
    assert read_examples_file("ner", path, labelled=False)[0].row_id == "n7"
    convert_file(path, str(tmp_path / "out.jsonl"), labelled=False)
    found = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))
    assert found == {"id": "n7", "text": TEXT, "source": "wire"}


@pytest.mark.parametrize(
    "change",
    [
        {"ner": [[0, 4, "PER"]]},
        {"ner": [[1, 0, "PER"]]},
        {"ner": [[0, 1]]},
        {"ner": "PER"},
        {"tokenized_text": [1]},
        {"relations": [[0, 2, "visits"]]},
        {"relations": [[0, 1, None]]},
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path, [GLINER, GLINER | change], "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1 and problems[0].startswith(f"{path}:2: ")


def test_nested_spans_have_no_tags(tmp_path: Path) -> None:
    nested = GLINER | {"ner": [[0, 1, "PER"], [1, 1, "NAME"]]}
    rows, problems, _ = read(write(tmp_path, [nested]))
    assert problems == [] and "tokens" not in rows[0] and len(rows[0]["entities"]) == 2


def test_a_row_of_gliner_without_words_is_told(tmp_path: Path) -> None:
    rows = [{"tokenized_text": ["Jane"], "ner": [[0, 0, "person"]]}]
    path = write(tmp_path, [*rows, {"tokenized_text": [], "ner": []}])
    _, problems, _ = read(path)
    assert problems[0].endswith('"tokenized_text" holds no words; correct it, or delete the row')
