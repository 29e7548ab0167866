"""Relation rows in all their forms, the pairs that are made, and what the model sees of a pair."""

import json
from functools import cache

import numpy as np
import pytest
from small_runs import write_jsonl

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.augmentation import WAYS
from lowcost_ft.data.python_rows import read_python_rows
from lowcost_ft.data.text_edits import SpannedText
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.relation import RelationExample, RelationTask
from lowcost_ft.tasks.relation.candidates import candidate_pairs, sentence_starts
from lowcost_ft.tasks.relation.examples import Mention
from lowcost_ft.tasks.relation.markers import marked_texts
from lowcost_ft.tasks.relation.negatives import negative_label

TEXT = "Ada works for Acme in Oslo."
ADA, ACME, OSLO = (
    Mention(start=TEXT.index(word), end=TEXT.index(word) + len(word), type=kind)
    for word, kind in (("Ada", "person"), ("Acme", "ORG_NAME"), ("Oslo", None))
)


def read(rows, *, labelled=True, **options):
    problems, notices = [], []
    found = read_python_rows(rows, "train", problems)
    examples = RelationTask.read(
        found, ReadingOptions(**options), problems=problems, notices=notices, labelled=labelled
    )
    return examples, problems, notices


def words_of(example):
    return [tuple(example.text[one.start : one.end] for one in pair) for pair in example.pairs]


def place(mention, **more):
    return {"start": mention.start, "end": mention.end} | more


OFFSETS = {"text": TEXT, "head": place(ADA, type="person"), "tail": place(ACME, type="ORG_NAME")}
FORMS = {
    "offsets": OFFSETS | {"label": "works_for"},
    "tags": {
        "sentence": "<e1:person>Ada</e1> works for <e2:ORG_NAME>Acme</e2> in Oslo.",
        "relation": "works_for",
    },
    "tacred": {
        "token": ["Ada", "works", "for", "Acme", "in", "Oslo."],
        **{"subj_start": 0, "subj_end": 0, "obj_start": 3, "obj_end": 3},
        **{"subj_type": "person", "obj_type": "ORG_NAME", "relation": "works_for"},
    },
    "opennre_words": {
        "token": ["Ada", "works", "for", "Acme", "in", "Oslo."],
        "h": {"pos": [0, 1], "type": "person", "name": "ada", "id": "Q7"},
        "t": {"pos": [3, 4], "type": "ORG_NAME"},
        "relation": "works_for",
    },
    "opennre_text": {
        "text": TEXT,
        "h": {"pos": [0, 3], "type": "person", "name": "Ada Lovelace"},
        "t": {"pos": [14, 18], "type": "ORG_NAME", "name": "Acme"},
        "relation": "works_for",
    },
    "entities": {
        "text": TEXT,
        "entities": [place(ADA, id="a", label="person"), place(ACME, id="b", label="ORG_NAME")],
        "relations": [{"head": "a", "tail": "b", "label": "works_for"}],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_give_the_same_pair(form):
    examples, problems, _ = read([FORMS[form]])
    assert not problems
    example = examples[0]
    assert (example.text, example.label, words_of(example)) == (
        TEXT,
        "works_for",
        [("Ada", "Acme")],
    )
    assert [mention.type for mention in example.pairs[0]] == ["person", "ORG_NAME"]
    # The other direction is a negative that was made.
    assert [e.label for e in examples[1:]] == ["no_relation"] * (form == "entities")


def test_a_table_holds_lists_and_objects_as_text():
    for form in ("offsets", "tacred", "entities"):
        wanted, _, _ = read([FORMS[form]])
        for write in (json.dumps, str):
            row = {
                key: value if isinstance(value, str) else write(value)
                for key, value in FORMS[form].items()
            }
            assert read([row])[:2] == (wanted, []), form


def test_words_of_tacred_end_with_their_last_one():
    row = FORMS["tacred"] | {"obj_start": 3, "obj_end": 5}
    examples, problems, _ = read([row])
    assert not problems and words_of(examples[0]) == [("Ada", "Acme in Oslo.")]
    _, problems, _ = read([{"tokens": ["Ada", "works"], "h": 0, "t": 1, "label": "x"}])
    assert len(problems) == 1 and 'the words in "tokens" need the columns subj_start' in problems[0]
    _, problems, _ = read([row | {"obj_end": 6}, row | {"subj_start": 1, "subj_end": 0}])
    assert "obj_end" in problems[0] and "6 words" in problems[0]
    assert len(problems) == 2


def test_what_opennre_says_of_its_entities_is_kept_and_compared(tmp_path):
    row = FORMS["opennre_words"]
    source = tmp_path / "wiki.txt"
    source.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    convert_file(str(source), str(tmp_path / "out.jsonl"))
    written = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[1])
    assert (written["text"], written["tail"]["start"]) == (TEXT, 14)
    assert written["h"] == {"name": "ada", "id": "Q7"}
    assert not read([written])[1]
    longer = row | {"t": {"pos": [3, 4], "name": "Acme in"}}
    assert "must be 5: the end is exclusive" in read([longer])[1][0]
    shifted = FORMS["opennre_text"] | {"t": {"pos": [13, 17], "name": "Acme"}}
    assert "Acme" in read([shifted])[1][0]
    empty = row | {"h": {"pos": [1, 1]}}
    assert '"h" has the "pos" "[1, 1]", which must be' in read([empty])[1][0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<e1>Ada</e1> works", "lacks <e2>"),
        ("<e1>Ada works for <e2>Acme</e2>", "lacks <e1>"),
        ("<e1>Ada</e1> <e1>Bo</e1> <e2>Acme</e2>", "second <e1>"),
        ("Ada</e1> works for <e2>Acme</e2>", "without its <e1>"),
        ("<e1> </e1> works for <e2>Acme</e2>", "white space"),
        ("Ada works for Acme", "marks no pair"),
        ("<e1><e2>Ada</e2></e1> works", "same characters"),
    ],
)
def test_tags_that_mark_no_pair_are_told(text, told):
    examples, problems, _ = read([{"text": text, "label": "x"}])
    assert not examples and len(problems) == 1
    assert told in problems[0] and problems[0].startswith("train:row 1")


def test_every_wrong_row_is_told_with_its_place():
    rows = [
        OFFSETS | {"head": {"start": 0, "end": 99}, "label": "x"},
        OFFSETS | {"tail": OFFSETS["head"], "label": "x"},
        OFFSETS | {"tail": None, "label": "x"},
        OFFSETS | {"label": None},
        OFFSETS | {"label": "x"},
    ]
    examples, problems, _ = read(rows)
    assert len(examples) == 1
    for number, told in enumerate(("not inside", "same characters", '"tail" is missing', "label")):
        assert any(p.startswith(f"train:row {number + 1}:") and told in p for p in problems)


ENTITY_ROW = FORMS["entities"]
WORDS = {"tokens": ["Ada", "works", "for", "Acme"], "relation": "works_for"}
FEWREL = WORDS | {"h": ["ada", "Q1", [[0]]], "t": ["acme", "Q2", [[3]]]}
DOCRED = {
    "title": "A",
    "sents": [["Ada", "works"]],
    "vertexSet": [[{"name": "Ada", "pos": [0, 1]}]],
    "labels": [{"r": "P1", "h": 0, "t": 1}],
}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [FORMS["opennre_words"], FORMS["opennre_text"]],
            ["several ways", "row 1 by the numbers of words", "row 2 by the places"],
        ),
        ([FORMS["offsets"], ENTITY_ROW], ["several ways", "row 2 by lists"]),
        ([{k: v for k, v in ENTITY_ROW.items() if k != "relations"}], ['none named "relations"']),
        ([{k: v for k, v in ENTITY_ROW.items() if k != "entities"}], ['none named "entities"']),
        ([FEWREL], ["FewRel"]),
        ([{"P1": [FEWREL]}], ["FewRel"]),
        ([WORDS | {"head": {"indices": [[0]]}, "tail": {"indices": [[3]]}}], ["FewRel"]),
        ([DOCRED], ["DocRED"]),
    ],
)
def test_a_form_that_is_mixed_halved_or_not_read_is_told_once(rows, told):
    examples, problems, _ = read(rows)
    assert not examples and len(problems) == 1
    assert all(words in problems[0] for words in told)


def test_a_column_of_labels_is_refused_or_told_where_relations_have_them():
    examples, problems, _ = read([ENTITY_ROW], label_column="kind")
    assert not examples and "--label-column kind is no column" in problems[0]
    _, problems, notices = read([ENTITY_ROW | {"kind": "x"}], label_column="kind")
    assert not problems and any('"kind" (--label-column) is not read' in n for n in notices)


def test_entities_without_ids_are_named_by_their_places_also_as_lists_of_three(tmp_path):
    spans = [[ADA.start, ADA.end, "person"], [ACME.start, ACME.end, "firm"]]
    row = {"text": TEXT, "entities": spans, "relations": [{"head": 0, "tail": 1, "label": "x"}]}
    path = write_jsonl(tmp_path / "a.jsonl", [row])
    splits = load_splits("relation", train_file=path, validation_file=path)
    assert words_of(next(e for e in splits.train if e.label == "x")) == [("Ada", "Acme")]


@pytest.mark.parametrize("form", ["offsets", "entities"])
def test_entities_that_cut_words_are_told_with_the_likely_cause(form):
    row = json.loads(json.dumps(FORMS[form]))
    places = row["entities"] if form == "entities" else [row["head"], row["tail"]]
    for one in places:
        one["end"] -= 1
    _, problems, notices = read([row])
    (told,) = [notice for notice in notices if "inside a word" in notice]
    assert not problems and told.startswith("train: 2 entities begin or end inside a word")
    assert "first at train:row 1" in told and told.endswith("--entity-offsets inclusive")
    _, _, notices = read([FORMS[form]])
    assert not any("inside a word" in notice for notice in notices)


@pytest.mark.parametrize("offsets", ["characters", "utf16", "inclusive", "text"])
def test_an_entity_may_be_given_by_its_words_where_the_text_has_them_once(offsets):
    row = {
        "text": "🙂 Adam and Ada lead Acme",
        "tail": {"text": "Acme", "type": "firm"},
        "label": "x",
    }
    examples, problems, notices = read([row | {"head": "Ada"}], entity_offsets=offsets)
    assert not problems and words_of(examples[0]) == [("Ada", "Acme")]
    assert examples[0].pairs[0][1].type == "firm"
    assert any("head or tail of 1 row" in notice for notice in notices)
    for head, told in (("Bo", "has nowhere"), ("a", "has 4 times")):
        _, problems, _ = read([row | {"head": head}], entity_offsets=offsets)
        assert told in problems[0] and '"start": 0' in problems[0]


@pytest.mark.parametrize("pos", [[0, 7], [2, 2], [1]])
def test_a_wrong_place_of_opennre_is_told_as_the_file_has_it(pos):
    words = {"token": ["Ada", "leads", "Acme"], "relation": "x", "h": {"pos": [0, 1]}}
    rows = [words | {"t": {"pos": [2, 3]}}, words | {"t": {"pos": pos}}]
    _, problems, _ = read(rows)
    assert len(problems) == 1 and f'"t" has the "pos" "{pos}"' in problems[0]
    assert "of 3 words counted from 0" in problems[0] and "obj_" not in problems[0]


def test_offsets_may_count_other_things_and_texts_are_compared():
    text = "🙂 Ada leads Acme"
    ends = {"head": {"start": 3, "end": 6, "text": "Ada"}, "tail": {"start": 13, "end": 17}}
    row = {"text": text, "label": "leads"} | ends
    _, problems, _ = read([row])
    assert "--entity-offsets utf16" in problems[0]
    examples, problems, _ = read([row], entity_offsets="utf16")
    assert not problems and words_of(examples[0]) == [("Ada", "Acme")]


@pytest.mark.parametrize(
    ("relation", "told"),
    [
        ({"head": "a", "tail": "z", "label": "x"}, 'no entity with the id "z"'),
        ({"head": "a", "tail": "a", "label": "x"}, "with itself"),
        ({"head": "a", "label": "x"}, "of the form"),
        ({"head": "a", "tail": "b", "label": None}, "has no label"),
        ({"head": "a", "tail": "b", "label": "other"}, "already related"),
    ],
)
def test_relations_that_join_nothing_are_told(relation, told):
    row = FORMS["entities"]
    _, problems, _ = read([row | {"relations": [*row["relations"], relation]}])
    assert len(problems) == 1 and told in problems[0]


def test_an_id_that_is_a_list_is_a_problem():
    first, second = FORMS["entities"]["entities"]
    row = FORMS["entities"] | {"entities": [first | {"id": ["a"]}, second]}
    _, problems, _ = read([FORMS["entities"], row])
    assert len(problems) == 1
    assert "row 2: an entity has the id \"['a']\"; it must be a number or a text" in problems[0]


def test_pairs_without_a_relation_become_negatives_within_the_window():
    text = "Ada works for Acme. Bo lives in Oslo."
    names = ("Ada", "Acme", "Bo", "Oslo")
    entities = [
        {"start": text.index(name), "end": text.index(name) + len(name), "label": "x"}
        for name in names
    ]
    relations = [{"head": 0, "tail": 1, "label": "works_for"}]  # Places in the list are ids.
    far = [*relations, {"head": 0, "tail": 3, "label": "lives_in"}]
    row = {"text": text, "entities": entities, "relations": relations}
    for window, made in (("sentence", 3), ("text", 11), (4, 2), (10, 4), (12, 5)):
        examples, problems, _ = read([row], pair_window=window)
        assert not problems
        assert sum(example.made for example in examples) == made, window
    examples, _, notices = read([row | {"relations": far}])
    assert [e.label for e in examples if not e.made] == ["works_for", "lives_in"]
    assert any("farther apart than --pair-window sentence" in notice for notice in notices)


def test_sentences_do_not_end_within_names_or_after_initials():
    text = "J. Smith of Acme Inc. in Oslo came. He left! 他在北京工作。她在上海。"
    entity = Mention(start=text.index("Acme"), end=text.index(" in Oslo"))
    starts = sentence_starts(text, [entity])
    pieces = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    wanted = ["J. Smith of Acme Inc. in Oslo came.", "He left!", "他在北京工作。", "她在上海。"]
    assert [piece for piece in pieces if piece] == wanted


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Ada met Dr. Berg. He left.", 2),
        ("Ask Mr. Okoye or Mrs. Berg in No. 5.", 1),
        ("She said no. Bo left.", 2),
    ],
)
def test_sentences_do_not_end_after_titles(text, sentences):
    assert len([start for start in sentence_starts(text) if text[start:].strip()]) == sentences


def test_entities_with_the_same_words_are_no_pair():
    twin = Mention(start=ADA.start, end=ADA.end, type="author")
    assert candidate_pairs(TEXT, [ADA, twin], "text") == []
    assert len(candidate_pairs(TEXT, [ADA, twin, ACME], "text")) == 4


@cache
def rows_with_entities():
    rows = []
    for number in range(40):
        text = f"Ada{number} works for Acme in Oslo"
        names = (f"Ada{number}", "Acme", "Oslo")
        entities = [
            {"id": n, "start": text.index(n), "end": text.index(n) + len(n), "label": "x"}
            for n in names
        ]
        relations = [{"head": names[0], "tail": "Acme", "label": f"works_{number % 2}"}]
        rows.append({"text": text, "entities": entities, "relations": relations})
    return rows


def test_negatives_are_drawn_by_ratio_in_training_alone():
    rows = {"train": rows_with_entities(), "test": rows_with_entities()[:4]}

    def drawn(ratio, order=1):
        given = rows | {"train": rows["train"][::order]}
        return load_splits("relation", rows=given, reading=ReadingOptions(negative_ratio=ratio))

    splits = drawn(2)
    both = [*splits.train, *splits.validation]
    assert sum(e.label == "no_relation" for e in both) == 80
    assert len(splits.test) == 4 * 6
    assert any("80 of the 200 pairs without a relation" in notice for notice in splits.notices)
    inputs = {RelationTask.input_of(e) for e in both}
    reverse = drawn(2, -1)
    assert inputs == {RelationTask.input_of(e) for e in (*reverse.train, *reverse.validation)}
    # The pairs of one text are not parted.
    assert not {e.text for e in splits.train} & {e.text for e in splits.validation}
    assert any("repeat an earlier text" in notice for notice in splits.notices)
    assert len(drawn("all").train) + len(drawn("all").validation) == 240
    named = [FORMS["tags"] | {"relation": label} for label in "xyxyxyxy"]
    splits = load_splits(
        "relation",
        rows={"train": named, "validation": named},
        reading=ReadingOptions(negative_ratio=2),
    )
    assert any("--negative-ratio 2 has no effect" in notice for notice in splits.notices)


def test_which_label_means_no_relation():
    assert negative_label(["Cause(e1,e2)", "Other"], None) == "Other"
    assert negative_label(["no_relation", "other"], None) == "no_relation"
    assert negative_label(["per:title", "NA"], None) == "NA"
    assert negative_label(["任职", "无关系"], None) == "无关系"
    assert negative_label(["a", "b"], None) is None
    assert negative_label(["a", "Other"], "a") == "a"


def test_white_space_around_entities_is_cut_off_and_counted():
    wide = {"head": {"start": 0, "end": 4}, "tail": {"start": 13, "end": 18}}
    (example,), problems, notices = read([OFFSETS | wide | {"label": "x"}])
    assert not problems and words_of(example) == [("Ada", "Acme")]
    assert "2 entities with white space at an end" in notices[0]


def test_made_negatives_take_the_label_that_the_data_has():
    rows = rows_with_entities()
    extra = {"head": "Oslo", "tail": "Acme", "label": "NA"}
    rows = [row | {"relations": [*row["relations"], extra]} for row in rows]
    splits = load_splits("relation", rows={"train": rows})
    assert splits.labels == ["NA", "works_0", "works_1"]
    with pytest.raises(UserError, match="--negative-label nope is not a label"):
        load_splits(
            "relation",
            rows={"train": [FORMS["tags"], FORMS["tags"] | {"relation": "y"}] * 9},
            reading=ReadingOptions(negative_label="nope"),
        )


def test_settings_of_other_tasks_are_refused():
    with pytest.raises(UserError, match="--problem-type is for text classification"):
        load_splits("relation", reading=ReadingOptions(problem_type="regression"))
    with pytest.raises(UserError, match="--negative-ratio is for relation extraction"):
        load_splits("ner", reading=ReadingOptions(negative_ratio=2))


def test_rows_without_labels_may_be_pairs_entities_or_bare_texts():
    examples, problems, _ = read([{k: v for k, v in OFFSETS.items()}], labelled=False)
    assert not problems and words_of(examples[0]) == [("Ada", "Acme")]
    row = {"text": TEXT, "entities": FORMS["entities"]["entities"]}
    examples, problems, _ = read([row], labelled=False)
    assert not problems and words_of(examples[0]) == [("Ada", "Acme"), ("Acme", "Ada")]
    examples, problems, _ = read([{"text": TEXT}], labelled=False)
    assert not problems and examples[0].pairs == ()


def test_an_export_of_label_studio_is_read(tmp_path):
    def span(name, start, end, label):
        value = {"start": start, "end": end, "labels": [label]}
        return {"id": name, "type": "labels", "from_name": "l", "to_name": "t", "value": value}

    def task(number, label):
        relation = {"type": "relation", "from_id": "a", "to_id": "b", "labels": [label]}
        result = [span("a", 0, 4, "person"), span("b", 12, 18, "place"), relation]
        return {
            "id": number,
            "data": {"text": "Jane visits Berlin"},
            "annotations": [{"result": result}],
        }

    path = tmp_path / "export.json"
    path.write_text(json.dumps([task(1, "visits"), task(2, "likes")]))
    splits = load_splits("relation", train_file=str(path), validation_file=str(path))
    assert splits.labels == ["likes", "no_relation", "visits"]
    assert [e.label for e in splits.train if not e.made] == ["visits", "likes"]


def test_inputs_of_an_export_keep_their_own_entities(tmp_path):
    def task(number, text, *ends):
        result = [
            {
                "id": str(start),
                "type": "labels",
                "from_name": "l",
                "to_name": "t",
                "value": {"start": start, "end": end, "labels": ["person"]},
            }
            for start, end in ends
        ]
        annotations = [{"result": result}] if ends else []
        return {"id": number, "data": {"body": text}, "annotations": annotations}

    path = tmp_path / "export.json"  # All in one line, and nobody has looked at the first text.
    tasks = [task(1, "Ada met Bo"), task(2, "Bo met Ada", (0, 2), (7, 10)), task(3, "Bo", (0, 2))]
    path.write_text(json.dumps(tasks))
    examples = read_examples_file("relation", str(path), labelled=False)
    assert [words_of(example) for example in examples] == [[], [("Bo", "Ada"), ("Ada", "Bo")], []]
    assert [example.row_id for example in examples] == [1, 2, 3]


def test_entities_of_gliner_are_paired_also_where_they_overlap(tmp_path):
    words = ["Ada", "met", "Bo", "Ray"]
    for spans, pairs in (
        ([[0, 0, "person"], [2, 3, "person"]], [("Ada", "Bo Ray"), ("Bo Ray", "Ada")]),
        ([[2, 2, "person"], [2, 3, "person"]], [("Bo", "Bo Ray"), ("Bo Ray", "Bo")]),
    ):
        file = write_jsonl(tmp_path / "g.jsonl", [{"tokenized_text": words, "ner": spans}])
        (example,) = read_examples_file("relation", file, labelled=False)
        assert (example.text, words_of(example)) == ("Ada met Bo Ray", pairs)
    file = write_jsonl(tmp_path / "bare.jsonl", [{"tokenized_text": words, "ner": []}])
    (example,) = read_examples_file("relation", file, labelled=False)
    assert (example.text, example.pairs) == ("Ada met Bo Ray", ())


def test_offsets_of_inputs_are_mended_by_convert(tmp_path):
    spans = [{"id": n, "start": 4 * n, "end": 4 * n + 2, "label": "p"} for n in (0, 1)]
    row = {"text": "Ada Bob", "entities": [spans[0] | {"text": "Ada"}, spans[1] | {"text": "Bob"}]}
    file = write_jsonl(tmp_path / "a.jsonl", [row])
    told = "--entity-offsets inclusive; --entity-offsets is a flag of lowcost-ft convert"
    with pytest.raises(UserError, match=told):
        read_examples_file("relation", file, labelled=False)
    row["entities"] = spans  # Without texts of their own, they may be meant so.
    file, notices = write_jsonl(tmp_path / "b.jsonl", [row]), []
    read_examples_file("relation", file, labelled=False, notices=notices)
    assert any(told in notice for notice in notices)


# --- What the model sees


class Words:
    """A tokenizer of words, with two special tokens."""

    def __call__(self, texts, **_):
        if isinstance(texts, str):
            return {"input_ids": ["[", *texts.split(), "]"]}
        return {"input_ids": [self(text)["input_ids"] for text in texts]}


def marked(text, head, tail, max_length=1000):
    (found,), (cut,) = marked_texts([text], [(head, tail)], Words(), max_length=max_length)
    return found, cut


def test_marks_are_punctuation_with_the_types():
    assert marked(TEXT, ADA, ACME) == (
        "@ * person * Ada @ works for # ^ org name ^ Acme # in Oslo.",
        False,
    )
    assert marked(TEXT, OSLO, ADA)[0] == "# ^ person ^ Ada # works for Acme in @ Oslo @ ."


def test_entities_may_lie_in_one_another_or_touch():
    whole = Mention(start=0, end=18)
    assert marked(TEXT, whole, ACME)[0] == ("@ Ada works for # ^ org name ^ Acme # @ in Oslo.")
    assert marked(TEXT, ADA, whole)[0] == "# @ * person * Ada @ works for Acme # in Oslo."
    assert marked("北京大学", Mention(start=0, end=2), Mention(start=2, end=4))[0] == (
        "@ 北京 @ # 大学 #"
    )
    assert marked("他在北京工作", Mention(start=0, end=1), Mention(start=2, end=4))[0] == (
        "@ 他 @ 在 # 北京 # 工作"
    )


@pytest.mark.parametrize("place", ["begin", "middle", "end", "apart", "reversed"])
@pytest.mark.parametrize("length", [16, 24, 64])
def test_the_pair_is_inside_however_long_the_text(place, length):
    before, between, after = {
        "begin": (0, 2, 500),
        "middle": (300, 3, 300),
        "end": (500, 2, 0),
        "apart": (200, 400, 200),
        "reversed": (100, 300, 10),
    }[place]
    words = [f"w{i}" for i in range(before)] + ["HEAD"]
    words += [f"v{i}" for i in range(between)] + ["TAIL"] + [f"u{i}" for i in range(after)]
    text = " ".join(words)
    head, tail = (
        Mention(start=text.index(name), end=text.index(name) + 4, type="kind")
        for name in ("HEAD", "TAIL")
    )
    if place == "reversed":
        head, tail = tail, head
    found, cut = marked(text, head, tail, max_length=length)
    assert cut
    assert len(found.split()) + 2 <= length
    assert f"@ * kind * {text[head.start : head.end]} @" in found
    assert f"# ^ kind ^ {text[tail.start : tail.end]} #" in found
    if length > 16:  # As much context as there is room for, and whole words.
        assert len(found.split()) + 2 >= length - 4
    assert all(word[0] in "wvuHT@*#^k." for word in found.split())


def test_entities_longer_than_a_window_keep_their_begin():
    text = "start " + "a " * 100 + "end " + "b " * 100 + "stop"
    head = Mention(start=0, end=text.index("end"), type="long")
    tail = Mention(start=text.index("end"), end=len(text), type="long")
    found, cut = marked(text, head, tail, max_length=20)
    assert cut and len(found.split()) + 2 <= 20
    assert found.startswith("@ start") and "# end" in found and found.endswith("#")


def test_the_pair_follows_changes_of_the_text():
    task = RelationTask(["works_for", "no_relation"])
    (example,), _, _ = read([FORMS["offsets"]])
    (spanned,) = task.spanned_texts(example)
    assert [label for _, _, label in spanned.spans] == ["head person", "tail ORG_NAME"]
    for name, way in WAYS.items():
        known = {"head person": ["Ada", "Bo Li"], "tail ORG_NAME": ["Acme", "Fern & Co"]}
        other = way(spanned, np.random.default_rng(2), 0.5, known)
        changed = None if other is None else task.with_texts(example, [other])
        if changed is not None:
            assert changed.label == "works_for", name
            assert [mention.type for mention in changed.pairs[0]] == ["person", "ORG_NAME"]
            assert all(words.strip() for words in words_of(changed)[0]), name
    swapped = SpannedText("Acme hired Ada", ((0, 4, "tail ORG_NAME"), (11, 14, "head person")))
    assert words_of(task.with_texts(example, [swapped])) == [("Ada", "Acme")]
    inner = RelationExample(text=TEXT, label="x", source="a:1", pairs=((OSLO, OSLO),))
    assert task.spanned_texts(inner) == ()


def test_the_doctor_sees_two_pairs_of_one_text_as_two_inputs():
    examples, _, _ = read([FORMS["entities"]])
    assert [RelationTask.texts_of(e) for e in examples] == [
        (TEXT, "Ada -> Acme"),
        (TEXT, "Acme -> Ada"),
    ]
    rows = read_python_rows([FORMS["tags"], FORMS["tags"] | {"relation": "y"}], "train", [])
    change = RelationTask.with_class(rows, 0, ReadingOptions(), old="works_for", new="y")
    assert change == {"relation": "y"}
