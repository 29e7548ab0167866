"""Texts are cut into words by named rules: the newest one leaves addresses whole."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_runs import call_recipe, flags

from lowcost_ft import load_predictor, merge_run
from lowcost_ft.config.reading import WORD_SPLITTINGS, ReadingOptions
from lowcost_ft.data.sample import sample_entity_messages
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.inputs import read_examples
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner import NerTask, text_example
from lowcost_ft.tasks.ner.entity_spans import with_whole_addresses
from lowcost_ft.tasks.ner.tagging import entities_to_tags, span_problems
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING, split_words

URL = "https://github.com/ann/tool"


def words(text: str, rule: str = WORD_SPLITTING) -> list[str]:
    return [text[start:end] for start, end in split_words(text, rule)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see http://t.co/Ab_1, ok", "see|http://t.co/Ab_1|,|ok"),
        ("(www.a.org/x_(y)).", "(|www.a.org/x_(y)|)|."),
        ("HTTPS://X.de:80/?q=a&b=%20#top!!", "HTTPS://X.de:80/?q=a&b=%20#top|!|!"),
        ("RT:ftp://a.b…", "RT|:|ftp://a.b|…"),
        ("<http://a.b/é>", "<|http://a.b/é|>"),
        ("'www.a.b'", "'|www.a.b|'"),
        ("看http://t.co/a谢谢", "看|http://t.co/a|谢|谢"),  # Han is written without blanks
        ("http://a.b/x\u0301\u200b c", "http://a.b/x\u0301\u200b|c"),
        ("mail ann.b+c@x-y.co.uk.", "mail|ann.b+c@x-y.co.uk|."),
        ("mailto:ann@x.com", "mailto|:|ann@x.com"),
        ("ann@x.com-based", "ann@x.com|-|based"),
        ("-ann@x.com;bob@y.de", "-|ann@x.com|;|bob@y.de"),
        ("a@b.cd@e.fg", "a@b.cd|@|e|.|fg"),
        # What only looks like one.
        ("5@2.50 a@b @ann ann@ @x.com", "5|@|2|.|50|a|@|b|@|ann|ann|@|@|x|.|com"),
        ("http:// www. http:/a", "http|:|/|/|www|.|http|:|/|a"),
        ("xhttp://a http://( x.com", "xhttp|:|/|/|a|http|:|/|/|(|x|.|com"),
        ("http: //a.b", "http|:|/|/|a|.|b"),
    ],
)
def test_an_address_is_one_word(text: str, expected: str) -> None:
    assert words(text) == expected.split("|")


address_text = st.lists(
    st.sampled_from(
        [
            *("http", "https", "www", ":", "/", "//", "://", ".", "@", "a", "b1", "com", ")", "("),
            *(",", " ", "-", "+", "'", "\u0301", "\u200b", "漢", "é", "_", "\ud800", "\n"),
        ]
    )
).map("".join)


@given(address_text)
@example("a@b.cd.e@f.gh")
def test_the_second_rule_joins_words_of_the_first(text: str) -> None:
    first, second = split_words(text, "unicode-v1"), split_words(text)
    starts, ends = {start for start, _ in first}, {end for _, end in first}
    assert all(start in starts and end in ends for start, end in second)
    covered = [place for start, end in second for place in range(start, end)]
    assert covered == [place for place, character in enumerate(text) if not character.isspace()]
    # A word alone is that word again, so that what stands around it does not matter.
    assert all(words(word) == [word] for word in words(text))


@given(address_text, address_text)
def test_white_space_separates(before: str, after: str) -> None:
    assert words(f"{before} {after}") == words(before) + words(after)


def test_long_texts_of_signs_are_cut_in_no_time() -> None:
    for text in ("a@" * 50_000, "http://a" + ")" * 100_000, "a." * 50_000 + "@b", "://" * 50_000):
        assert words(text)


def test_the_sample_has_the_same_words_by_both_rules() -> None:
    for rows in sample_entity_messages().values():
        for row in rows:
            assert split_words(row["text"]) == split_words(row["text"], "unicode-v1")


# --- Entities in addresses ----------------------------------------------------------------------


def read(entities: list[dict], notices: list[str], *, rule: str = WORD_SPLITTING) -> list:
    rows = [{"text": f"See {URL}, please", "entities": entities}] * 2
    kind = ReadingOptions(word_splitting=rule)
    labels = ["O", "B-WHO", "I-WHO", "B-WHAT", "I-WHAT"]
    raw = NerTask.read(_rows(rows), kind, problems=(problems := []), notices=notices)
    assert problems == []
    assert len(read_examples("ner", rows, "test", reading=kind, labels=labels)) == 2
    return raw


def _rows(rows: list[dict]) -> list:
    from lowcost_ft.data.python_rows import read_python_rows

    return read_python_rows(rows, "test", [])


def entity(part: str, label: str) -> dict:
    start = f"See {URL}".index(part)
    return {"start": start, "end": start + len(part), "label": label}


@pytest.mark.parametrize(
    ("parts", "tag", "told"),
    [
        ([("ann", "WHO")], "B-WHO", ["2 of the entities lie inside a web or e-mail address"]),
        ([(URL, "WHAT")], "B-WHAT", []),
        (
            [("tool", "WHAT"), ("ann", "WHO")],
            "B-WHO",
            ["2 of the entities lie inside", "2 of the entities lie in the web or e-mail address"],
        ),
    ],
)
def test_an_address_has_one_tag_and_what_that_changes_is_told(parts, tag, told) -> None:
    notices: list[str] = []
    for one in read([entity(*part) for part in parts], notices):
        assert one.words == ("See", URL, ",", "please")
        assert one.tags == ("O", tag, "O", "O")
    assert len(notices) == len(told)
    for notice, text in zip(notices, told, strict=True):
        assert text in notice
        assert "--word-splitting unicode-v1" in notice
        assert "first at" in notice


def test_the_first_rule_keeps_all_entities_of_an_address() -> None:
    notices: list[str] = []
    given = [entity("ann", "WHO"), entity("tool", "WHAT")]
    for one in read(given, notices, rule="unicode-v1"):
        assert [tag for tag in one.tags if tag != "O"] == ["B-WHO", "B-WHAT"]
    assert notices == []


@given(address_text, st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.just("x"))))
def test_entities_of_any_text_become_tags_of_whole_words(text, spans) -> None:
    if span_problems(text, spans, "unicode-v1"):
        return
    kept, _, left_out = with_whole_addresses(text, spans, WORD_SPLITTING)
    assert len(kept) + left_out == len(spans)
    assert span_problems(text, kept) == []
    found = entities_to_tags(text, kept)
    assert sum(tag[0] == "B" for tag in found[2]) == len(kept)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UserError, match=r"--word-splitting unicode-v0 is unknown; known: unic"):
        load_splits("ner", reading=ReadingOptions(word_splitting="unicode-v0"))  # type: ignore[arg-type]


# --- Runs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model) -> dict[str, Path]:
    """A run of each rule, on texts with two entities in an address."""
    folder = tmp_path_factory.mktemp("addresses")
    entities = [entity("ann", "WHO"), entity("tool", "WHAT")]
    lines = [json.dumps({"text": f"See {URL} {n}", "entities": entities}) for n in range(24)]
    (folder / "a.jsonl").write_text("\n".join(lines), "utf-8")
    files = dict.fromkeys(("train_file", "validation_file"), str(folder / "a.jsonl"))
    values = {"model_id": tiny_model("bert"), "max_length": 64, "num_train_epochs": 8}
    values |= {"batch_size": 8, "learning_rate": 1e-2, "dropout": 0.0, **files}
    for rule in WORD_SPLITTINGS:
        values |= {"output_dir": str(folder / rule), "word_splitting": rule}
        assert call_recipe("lora_ner", *flags(**values)) == 0
    return {rule: folder / rule for rule in WORD_SPLITTINGS}


def found(folder: Path) -> list[tuple[str, str]]:
    predictor = load_predictor(folder)
    answers = predictor([f"See {URL} 3"])
    assert predictor.read_lines(f"See {URL} 3".encode(), name="x")[0].words == tuple(
        words(f"See {URL} 3", predictor.run["word_splitting"] or "unicode-v1")
    )
    assert predictor.notices == []
    return [(one["text"], one["label"]) for one in answers[0]["entities"]]


def test_a_run_cuts_by_the_rule_that_it_was_trained_with(runs, tmp_path) -> None:
    assert found(runs["unicode-v1"]) == [("ann", "WHO"), ("tool", "WHAT")]
    assert found(runs["unicode-v2"]) == [(URL, "WHO")]
    for rule, folder in runs.items():
        run = json.loads((folder / "run.json").read_text("utf-8"))
        assert run["word_splitting"] == run["config"]["word_splitting"] == rule
        assert load_predictor(folder).evaluate(run["config"]["train_file"])["f1"] == 1.0
        card = (folder / "README.md").read_text("utf-8")
        assert ("e-mail address is one word" in card) == (rule == "unicode-v2")


def test_a_run_saved_before_there_was_a_choice_predicts_as_it_did(runs, tmp_path) -> None:
    folder = shutil.copytree(runs["unicode-v1"], tmp_path / "run")
    run = json.loads((folder / "run.json").read_text("utf-8"))
    del run["config"]["word_splitting"]
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    assert found(folder) == [("ann", "WHO"), ("tool", "WHAT")]
    assert load_predictor(folder).evaluate(run["config"]["train_file"])["f1"] == 1.0
    assert merge_run(folder, tmp_path / "merged").changed == 0
    assert found(tmp_path / "merged") == [("ann", "WHO"), ("tool", "WHAT")]
    run["word_splitting"] = "unicode-v9"
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    predictor = load_predictor(folder)
    predictor.predict([text_example("a")])
    assert '"unicode-v9", which this version of lowcost_ft does not know' in predictor.notices[0]
