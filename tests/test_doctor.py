"""`lowcost-ft doctor`: what it finds in messy files, what it says of it, and what it mends."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import dialogue_rows, pair_rows

from lowcost_ft.commands.main import main
from lowcost_ft.data.languages import language_of, script_of
from lowcost_ft.doctor.entity_model import doubt_entities
from lowcost_ft.doctor.mending import changes_file, restore
from lowcost_ft.doctor.near_texts import near_pairs
from lowcost_ft.doctor.noise_model import doubt_classes, posterior
from lowcost_ft.doctor.reading import read_data
from lowcost_ft.doctor.wrong_labels import judge_classes
from lowcost_ft.frozen.embedding import load_embedder
from lowcost_ft.tasks.ner.span_faults import bare_span

TEXTS = {
    "refund": "please send my money back for the {}",
    "status": "where is the {} that I ordered last week",
}
THINGS = ("lamp", "chair", "table", "kettle", "sofa", "carpet", "mirror", "shelf", "clock", "vase")


def clean_rows() -> list[tuple[str, str]]:
    """Ten rows of each of two classes."""
    return [(text.format(thing), label) for label, text in TEXTS.items() for thing in THINGS]


def write_csv(path: Path, rows: list[tuple[str, str]], label: str = "label") -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", label])
        table.writerows(rows)
    return str(path)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *words: str, model: bool = False) -> dict[str, Any]:
    """The findings of a command by kind, as `--json` prints them."""
    assert main(["doctor", *words, "--json", *([] if model else ["--no-model"])]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["findings"]
    for finding in found["findings"]:
        title = [] if finding["rows"] else ["title"]
        assert list(finding) == ["kind", "severity", "rows", "command", *title]
        for row in finding["rows"]:
            assert list(row) == ["file", "row", "line", "score", "suggested"]
            assert 0 <= row["score"] <= 1 and row["row"] >= 1
    return {finding["kind"]: finding for finding in found["findings"]}


def places(finding: dict[str, Any]) -> list[int]:
    return [row["row"] for row in finding["rows"]]


def test_a_clean_file_has_no_severe_finding(tmp_path, capsys):
    train = write_csv(tmp_path / "train.csv", clean_rows())
    assert all(f["severity"] != "severe" for f in run(capsys, train).values())
    assert main(["doctor", train, "--no-model", "--strict"]) == 0


def test_messy_rows_are_found_by_kind_row_and_line(tmp_path, capsys):
    rows = clean_rows()
    rows += [rows[0], (rows[1][0], "status"), ("", "refund"), (rows[2][0], "REFUND ")]
    rows += [("where is the cafÃ© table, donâ€™t wait for me", "status")]
    rows += [("<p>where is my &amp; table</p>", "status"), ("where is my parcel now", "statsu")]
    train = write_csv(tmp_path / "train.csv", rows)
    test = write_csv(
        tmp_path / "test.csv", [rows[3], ("WHERE IS THE SOFA I ORDERED LAST WEEK", "status")]
    )
    found = run(capsys, train, "--test-file", test)
    assert places(found["exact_duplicate"]) == [21, 24]
    assert found["exact_duplicate"]["rows"][0]["line"] == 22
    assert sorted(places(found["contradiction"])) == [2, 22]
    assert places(found["empty_text"]) == [23]
    assert places(found["leak"]) == [4]
    assert found["leak"]["severity"] == "severe"
    assert found["label_spelling"]["rows"][0]["suggested"] == "refund"
    assert found["damaged_text"]["rows"][0]["suggested"].startswith("where is the café table, don")
    assert places(found["markup"]) == [26]
    order = [f["severity"] for f in found.values()]
    assert order == sorted(order, key=["severe", "moderate", "minor"].index)
    assert all(finding["command"] for finding in found.values())


def test_strict_exits_with_3_on_a_severe_finding(tmp_path, capsys):
    rows = clean_rows()
    train, test = write_csv(tmp_path / "a.csv", rows), write_csv(tmp_path / "b.csv", rows[:1])
    with pytest.raises(SystemExit) as stop:
        main(["doctor", train, "--test-file", test, "--no-model", "--strict"])
    assert stop.value.code == 3
    assert "SEVERE  leak" in capsys.readouterr().out


def test_a_mended_file_is_clean_and_its_changes_can_be_undone(tmp_path, capsys):
    rows = clean_rows()
    rows += [rows[0], (rows[1][0], "status"), ("", "refund"), ("I want my money", "Refund")]
    train = write_csv(tmp_path / "train.csv", rows)
    before = Path(train).read_bytes()
    mended = str(tmp_path / "mended.csv")
    run(capsys, train, "--fix", mended)
    assert Path(train).read_bytes() == before
    assert all(f["severity"] != "severe" for f in run(capsys, mended).values())
    with open(mended, newline="", encoding="utf-8") as file:
        left = list(csv.DictReader(file))
    changes = [json.loads(line) for line in changes_file(mended).read_text("utf-8").splitlines()]
    assert restore(left, changes) == [{"text": text, "label": label} for text, label in rows]
    assert left[-1] == {"text": "I want my money", "label": "refund"}


def test_the_commands_that_mend_a_mended_file_write_another_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "mended.csv", [*clean_rows(), clean_rows()[0]])
    command = run(capsys, "mended.csv")["exact_duplicate"]["command"]
    assert command.endswith("--kinds exact_duplicate --fix mended-2.csv")
    assert main(shlex.split(command)[1:]) == 0


def test_both_texts_of_a_damaged_pair_are_mended(tmp_path, capsys):
    train, mended = tmp_path / "train.csv", tmp_path / "mended.csv"
    rows = [f"a {thing},b {thing},{label}" for thing in THINGS for label in ("yes", "no")]
    train.write_text("\n".join(["premise,hypothesis,label", *rows, "cafÃ©,the cafÃ©,yes"]))
    assert places(run(capsys, str(train), "--fix", str(mended))["damaged_text"]) == [21]
    assert mended.read_text("utf-8").splitlines()[-1] == "café,the café,yes"


def test_a_damaged_text_to_write_is_mended(tmp_path, capsys):
    rows = [{"source": f"the {thing}", "target": f"le {thing}"} for thing in THINGS]
    rows.append({"source": "the bar", "target": "le cafÃ©"})
    train, mended = write_jsonl(tmp_path / "train.jsonl", rows), tmp_path / "mended.jsonl"
    found = run(capsys, train, "--task", "translation", "--fix", str(mended))
    assert places(found["damaged_text"]) == [len(rows)]
    assert json.loads(mended.read_text("utf-8").splitlines()[-1])["target"] == "le café"


def test_near_duplicates_are_mended_only_where_they_are_asked_for(tmp_path, capsys):
    rows = [*clean_rows(), ("Please, send my money back for the lamp!!", "refund")]
    train = write_csv(tmp_path / "train.csv", rows)
    found = run(capsys, train, "--fix", str(tmp_path / "mended.csv"))
    assert 21 in places(found["near_duplicate"])
    assert changes_file(tmp_path / "mended.csv").read_text("utf-8") == ""
    words = ["--kinds", "near_duplicate", "--fix", str(tmp_path / "mended.csv")]
    # Hours of work may lie in a mended file: it stays, unless the user says otherwise.
    content = (tmp_path / "mended.csv").read_bytes()
    assert main(["doctor", train, "--no-model", *words]) == 2
    told = capsys.readouterr().err
    assert "mended.csv.changes.jsonl exist already; name another file, or add --overwrite" in told
    assert (tmp_path / "mended.csv").read_bytes() == content
    assert main(["doctor", train, "--no-model", "--overwrite"]) == 2
    assert "--overwrite is for --fix FILE" in capsys.readouterr().err
    run(capsys, train, *words, "--overwrite")
    assert '"row": 21' in changes_file(tmp_path / "mended.csv").read_text("utf-8")


def test_faults_of_spans_are_found_and_mended(tmp_path, capsys):
    def row(name: str, label: str = "city", extra: int = 0, **more: Any) -> dict[str, Any]:
        text = f"we went to {name}, and then home"
        span = {"start": 11, "end": 11 + len(name) + extra, "label": label}
        return {"text": text, "entities": [span], **more}

    rows = [row("Oslo", note=i) for i in range(9)] + [row("Oslo", "person"), row("Bergen", extra=1)]
    rows += [{"text": "in Oslo it rains", "entities": []}, row("Paris", extra=-2)]
    rows += [{"text": "short", "entities": [{"start": 2, "end": 99, "label": "city"}]}]
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    mended = str(tmp_path / "mended.jsonl")
    found = run(capsys, train, "--fix", mended)
    assert places(found["odd_type"]) == [10]
    assert places(found["unlabelled_twin"]) == [12]
    assert places(found["span_edge"]) == [11]
    assert places(found["cut_word"]) == [13]
    assert places(found["unreadable_row"]) == [14]
    left = [json.loads(line) for line in Path(mended).read_text("utf-8").splitlines()]
    assert next(one for one in left if "Bergen" in one["text"])["entities"][0]["end"] == 17


@pytest.mark.parametrize(
    ("offsets", "mark", "expected"),
    [
        ("utf16", "🚀 ", [3, 7]),
        ("bytes", "é🚀 ", [7, 11]),
        ("inclusive", "", [0, 3]),
    ],
)
def test_a_mended_entity_counts_as_its_file_does(tmp_path, capsys, offsets, mark, expected):
    end = expected[1] + 1  # The blank behind it.
    text = mark + "Jane lives in Rome"
    second = [expected[0] + 14, expected[1] + 14]
    spans = [([expected[0], end], "PER"), (second, "LOC")]
    entities = [{"start": start, "end": stop, "label": label} for (start, stop), label in spans]
    row = {"text": text, "entities": entities}
    train, mended = write_jsonl(tmp_path / "a.jsonl", [row]), tmp_path / "b.jsonl"
    found = run(capsys, train, "--entity-offsets", offsets, "--fix", str(mended))
    assert places(found["span_edge"]) == [1] and "cut_word" not in found
    (left,) = map(json.loads, mended.read_text("utf-8").splitlines())
    assert [[one["start"], one["end"]] for one in left["entities"]] == [expected, second]
    assert "span_edge" not in run(capsys, str(mended), "--entity-offsets", offsets)


def test_tags_that_are_numbers_are_mended_as_numbers(tmp_path, capsys):
    rows = [{"tokens": ["in", "Rome"], "ner_tags": [0, 1]} for _ in range(9)]
    for number, row in enumerate(rows):
        row["tokens"] = [f"in{number}", "Rome"]
    rows[0]["ner_tags"] = [0, 0]
    names = ["--label-names", "O,B-LOC,I-LOC", "--kinds", "unlabelled_twin"]
    train, mended = write_jsonl(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    assert places(run(capsys, train, *names, "--fix", str(mended))["unlabelled_twin"]) == [1]
    assert json.loads(mended.read_text("utf-8").splitlines()[0])["ner_tags"] == [0, 1]


def test_entities_in_the_cells_of_a_table_are_mended_there(tmp_path, capsys):
    entities = [{"start": 11, "end": 16, "label": "city"}]
    rows = [(f"we went to Oslo, and {i}", repr(entities)) for i in range(3)]
    train = write_csv(tmp_path / "train.csv", rows, label="entities")
    mended = str(tmp_path / "mended.csv")
    assert places(run(capsys, train, "--fix", mended)["span_edge"]) == [1, 2, 3]
    assert "span_edge" not in run(capsys, mended)


def test_illegal_tags_are_found_in_columns(tmp_path, capsys):
    sentence = "Anna\tB-person\nwent\tO\nto\tO\n{}\t{}\n"
    names = ("Oslo", "Bergen", "Rome", "Paris", "Madrid", "Berlin", "Vienna", "Lima", "Kyoto")
    blocks = [sentence.format(name, "B-city") for name in names]
    (tmp_path / "train.conll").write_text("\n".join([*blocks, sentence.format("Quito", "I-city")]))
    found = run(capsys, str(tmp_path / "train.conll"))
    assert places(found["illegal_tag"]) == [10]
    assert found["illegal_tag"]["rows"][0]["line"] == 46


def test_wrong_flags_are_refused_before_reading(tmp_path, capsys):
    train = write_csv(tmp_path / "train.csv", clean_rows())
    words = ["doctor", train, "--kinds", "typo", "--scores", "x.txt", "--fix", "mended.xlsx"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "--kinds typo: unknown" in told and "--scores x.txt" in told and "--fix mended" in told
    assert main(["doctor", train, "--no-model", "--fix", train]) == 2
    assert "would replace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        (
            "relation extraction",
            [
                {"text": "Ada met Bo", "head": {"start": 0, "end": 3}}
                | {"tail": {"start": 8, "end": 10}, "label": "met"},
                {"text": "Ada met Bo", "head": {"start": 8, "end": 10}}
                | {"tail": {"start": 0, "end": 3}, "label": "was met by"},
            ],
        ),
        (
            "relation extraction",
            [{"text": "<e1>Ada</e1> met <e2>Bo</e2>", "label": "met"}] * 2 + [{"text": "Bo"}],
        ),
        (
            "question answering",
            [{"question": "Who?", "context": "Ada met Bo", "answer": "Bo"}] * 2
            + [{"question": "Who?", "context": "Ada met Bo", "answer": "Cy"}],
        ),
        (
            "NER",
            [
                {"text": "Ada met Bo", "relations": [], "label": "x"}
                | {"entities": [{"start": 0, "end": end, "label": "p"}]}
                for end in (3, 99)
            ],
        ),
    ],
)
def test_rows_are_read_as_the_task_that_they_say_most_for(tmp_path, task, rows):
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    assert read_data({"train": train}).notices[0].startswith(f"read as {task} ")


def test_a_folder_of_entities_without_relations_is_for_ner(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Ada met Bo in Rome.")
    (tmp_path / "a.ann").write_text("T1\tP 0 3\tAda\nT2\tP 8 10\tBo\nT3\tL 14 18\tRome\n")
    assert read_data({"train": str(tmp_path)}).task == "ner"
    (tmp_path / "a.ann").write_text("T1\tP 1 4\tAda\n")
    assert main(["doctor", str(tmp_path), "--no-model"]) == 2
    assert "problems" not in (told := capsys.readouterr().err) and "shifted by 1" in told


def test_one_command_mends_what_needs_no_decision(tmp_path, capsys):
    rows = clean_rows()
    train = write_csv(tmp_path / "train.csv", [*rows, rows[0], (rows[1][0], "status")])
    main(["doctor", train, "--no-model"])
    told = " ".join(capsys.readouterr().out.split())
    kinds = "--kinds contradiction,exact_duplicate --fix mended.csv"
    assert told.endswith(f"mend together: lowcost-ft doctor {train} --no-model {kinds}")


def test_one_of_several_labels_is_renamed(tmp_path, capsys):
    labels = [["Pos", "a"], ["Pos"], ["pos", "a"], ["a", "pos", "Pos"], []]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    train, mended = write_jsonl(tmp_path / "train.jsonl", rows), tmp_path / "mended.jsonl"
    run(capsys, train, "--fix", str(mended))
    left = [json.loads(line)["label"] for line in mended.read_text().splitlines()]
    assert left == [["Pos", "a"], ["Pos"], ["Pos", "a"], ["a", "Pos"], []]


def test_a_relation_that_cannot_be_read_is_not_taken_for_none(tmp_path, capsys):
    entities = [{"id": i, "start": i, "end": i + 1, "label": "x"} for i in (0, 2)]
    rows = [
        {"text": "a b", "entities": entities, "relations": [{"head": 0, "tail": t, "label": "y"}]}
        for t in (2, 3)
    ]
    found = run(capsys, write_jsonl(tmp_path / "train.jsonl", rows))
    assert places(found["unreadable_row"]) == [2] and "contradiction" not in found


def test_half_a_surrogate_pair_in_another_field_is_written_back(tmp_path, capsys):
    rows = [{"text": t, "label": label, "by": "\udc00"} for t, label in clean_rows()]
    train = write_jsonl(tmp_path / "train.jsonl", [*rows, rows[0]])
    run(capsys, train, "--fix", str(tmp_path / "mended.jsonl"))
    mended = (tmp_path / "mended.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in mended] == rows


def test_a_page_escapes_what_rows_hold(tmp_path, capsys):
    rows = [*clean_rows(), ("<script>alert(1)</script> where is it", "status")]
    train = write_csv(tmp_path / "train.csv", rows)
    page = tmp_path / "doctor.html"
    run(capsys, train, "--output", str(page))
    text = page.read_text("utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text


def test_scattered_and_directed_mistakes_are_ranked_first():
    random = np.random.default_rng(0)
    centres = np.eye(6, 16)
    true = np.repeat(np.arange(6), 50)
    states = centres[true] + 0.15 * random.normal(size=(300, 16))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    given = true.copy()
    wrong = random.choice(300, 30, replace=False)
    given[wrong] = (given[wrong] + random.integers(1, 6, 30)) % 6
    doubts = doubt_classes(states, given, np.arange(300), num_classes=6)
    worst = np.argsort(-doubts.scores)[:30]
    assert len(set(worst) & set(wrong)) >= 28
    assert (doubts.suggested[wrong] == true[wrong]).mean() > 0.9
    # Where a third of class 0 is given as 1, a doubtful 1 is more likely a 0 than a doubtful 2.
    probabilities = np.full((90, 3), 0.001)
    probabilities[np.arange(90), np.repeat(np.arange(3), 30)] = 0.998
    labels = np.repeat(np.arange(3), 30)
    labels[:10] = 1
    mixed, _ = posterior(
        np.vstack([probabilities, [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]]), np.append(labels, [1, 1])
    )
    assert mixed[-2, 0] > mixed[-1, 2]


def test_small_classes_are_not_doubted_for_want_of_rows_to_learn_from():
    random = np.random.default_rng(1)
    centres = random.normal(size=(8, 64))
    near = centres[0] + 0.3 * random.normal(size=64)  # Six rows, hard to tell from class 0.
    clouds = [centre + 0.6 * random.normal(size=(200, 64)) for centre in centres[:5]]
    clouds.append(near + 0.5 * random.normal(size=(6, 64)))
    clouds.append(np.repeat(centres[7:], 3, axis=0))  # One text, given three times.
    states = np.vstack(clouds)
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    classes = np.repeat(np.arange(7), [len(cloud) for cloud in clouds])
    groups = np.append(np.arange(1006), [1006] * 3)
    doubts = doubt_classes(states, classes, groups, num_classes=7)
    assert (doubts.scores[1000:1006] < 0.5).all()
    assert not doubts.judged[1006:].any() and (doubts.scores[1006:] == 0.5).all()
    assert doubts.judged[:1006].all()


def test_near_pairs_are_those_that_share_most_letters():
    texts = ["the card has not arrived yet", "The card has not arrived, yet!", "a refund please"]
    assert list(near_pairs(texts)) == [(0, 1, 1.0)]
    longer = [texts[0], texts[2], texts[0] + " ok"]
    assert [pair[:2] for pair in near_pairs(longer)] == [(0, 2)]
    assert list(near_pairs([texts[0], texts[0], texts[1]], border=2)) == [(0, 2, 1.0), (1, 2, 1.0)]


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("where is my card and when will it be here", "Latin", "English"),
        ("wo ist meine Karte und wann kommt sie nicht", "Latin", "German"),
        ("où est ma carte, je ne sais pas", "Latin", "French"),
        ("где моя карта, пожалуйста", "Cyrillic", None),
        ("我的卡在哪里呢", "Han", None),
        ("42", None, None),
    ],
)
def test_scripts_and_languages(text, script, language):
    assert script_of(text) == script
    assert language_of(text) == language


TAGS = ["O", "B-city", "I-city", "B-person", "I-person"]


def words_like(*tags: str, sure: float = 0.9) -> np.ndarray:
    """Probabilities of words that are likely tagged so."""
    found = np.full((len(tags), len(TAGS)), (1 - sure) / (len(TAGS) - 1))
    found[np.arange(len(tags)), [TAGS.index(tag) for tag in tags]] = sure
    return found


@pytest.mark.parametrize(
    ("given", "kind", "suggested"),
    [
        ([(1, 3, "person")], "wrong_type", (1, 3, "city")),
        ([(1, 2, "city")], "wrong_edge", (1, 3, "city")),
        ([(1, 3, "city"), (4, 5, "person")], "invented_entity", None),
        ([], "missing_entity", (1, 3, "city")),
    ],
)
def test_each_mistake_of_an_entity_is_told_apart(given, kind, suggested):
    likely = words_like("O", "B-city", "I-city", "O", "O", "O", sure=0.999)
    doubts = doubt_entities(likely, given, TAGS)
    worst = max(doubts, key=lambda doubt: max(doubt.scores.values()))
    assert max(worst.scores, key=lambda one: worst.scores[one]) == kind
    assert worst.scores[kind] > 0.5
    assert worst.suggested[kind] == suggested


def test_right_entities_are_not_doubted():
    likely = words_like("O", "B-city", "I-city", "O", "B-person", "O")
    for doubt in doubt_entities(likely, [(1, 3, "city"), (4, 5, "person")], TAGS):
        assert sum(doubt.scores.values()) < 0.2


def test_edits_of_one_row_are_put_together(tmp_path, capsys):
    text = "Anna went to Oslo with Bo"
    spans = [(0, 4, "Person"), (13, 17, "city"), (23, 25, "person")]
    entities = [{"start": s, "end": e, "label": x, "note": i} for i, (s, e, x) in enumerate(spans)]
    rows = [{"text": text, "entities": entities}]
    rows += [
        {
            "text": f"{name} is in Oslo",
            "entities": [
                {"start": 0, "end": 4, "label": "person"},
                {"start": 11, "end": 15, "label": "city"},
            ],
        }
        for name in ("Mary", "John", "Lisa", "Paul")
    ]
    mended = tmp_path / "mended.jsonl"
    run(capsys, write_jsonl(tmp_path / "train.jsonl", rows), "--fix", str(mended))
    first = json.loads(mended.read_text("utf-8").splitlines()[0])
    assert first["entities"][0] == {"start": 0, "end": 4, "label": "person", "note": 0}
    assert first["entities"][1:] == entities[1:]


def test_labels_are_judged_by_a_model(tmp_path, capsys, tiny_model):
    rows = clean_rows()
    train = write_csv(tmp_path / "train.csv", rows)
    scores = tmp_path / "scores.jsonl"
    words = [train, "--model-id", tiny_model("bert"), "--scores", str(scores), "--max-length", "8"]
    found = run(capsys, *words, model=True)
    assert "too_long" in found
    scored = [json.loads(line) for line in scores.read_text("utf-8").splitlines()]
    assert [row["row"] for row in scored] == list(range(1, 21))
    assert all(0 <= row["score"] <= 1 for row in scored)


def test_entities_are_judged_by_a_model(tmp_path, capsys, tiny_model):
    rows = [
        {"tokens": ["in", name, "it", "rains"], "tags": ["O", "B-city", "O", "O"]}
        for name in ("Oslo", "Rome", "Lima", "Bonn", "Kyoto", "Quito", "Paris", "Turin")
    ]
    rows.append({"tokens": ["in", "Bergen", "it", "rains"], "tags": ["B-city", "O", "O", "O"]})
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    scores = tmp_path / "scores.jsonl"
    run(capsys, train, "--model-id", tiny_model("bert"), "--scores", str(scores), model=True)
    scored = [json.loads(line) for line in scores.read_text("utf-8").splitlines()]
    assert max(scored, key=lambda row: row["score"])["row"] == 9
    assert {"wrong_type", "wrong_edge", "invented_entity", "missing_entity"} <= set(scored[0])


def test_labels_that_are_not_judged_have_no_score(tmp_path, capsys, tiny_model):
    rows = [{"text": f"{one} and {two}", "label": [one, two]} for one in "ab" for two in "cd"]
    train = write_jsonl(tmp_path / "train.jsonl", [*rows, {"text": " ", "label": ["a"]}])
    scores = tmp_path / "scores.jsonl"
    run(capsys, train, "--scores", str(scores), "--model-id", tiny_model("bert"), model=True)
    found = [json.loads(line)["score"] for line in scores.read_text().splitlines()]
    assert found == [*[None] * 4, 1.0]  # The last row cannot be read.


@pytest.mark.parametrize("task", ["translation", "dialogue"])
def test_texts_to_write_have_no_labels_to_judge(tmp_path, capsys, tiny_model, task):
    rows = pair_rows(6) if task == "translation" else dialogue_rows(6)
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    words = ["--task", task, "--model-id", tiny_model("bert"), "--max-length", "8"]
    assert main(["doctor", train, *words]) == 0
    told = capsys.readouterr()
    # Training takes these files.
    assert "labels are not judged: that takes one class a text, or entities" in told.err
    assert "refuse" not in told.err
    if task == "dialogue":
        assert 'in "Hello, I have a question.' in told.out  # Without the roles.
        assert "6 rows of train whose input alone is longer than --max-length 8" in told.out
    assert main(["doctor", train, "--task", task]) == 0
    told = capsys.readouterr()
    assert "give --model-id and --max-length as in your training" in " ".join(told.err.split())
    assert "--max-length" not in told.out


def test_labels_that_no_model_can_tell_apart_are_not_doubted(tmp_path):
    random = np.random.default_rng(0)
    rows = [(f"text {i}", "abc"[random.integers(3)]) for i in range(60)]
    data = read_data({"train": write_csv(tmp_path / "train.csv", rows)})
    states = random.normal(size=(60, 8))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    scores, findings = judge_classes(data, states, seed=0)
    assert findings == [] and set(scores.scores) == {0.5}
    assert any("not judged" in notice for notice in data.notices)


def test_words_beyond_the_longest_text_of_the_model_are_seen_too(tiny_model):
    sentences = [["where", "is", "it"] * 30, [], ["hello"], ["refund"] * 40]
    short = load_embedder(tiny_model("bert"), words=True, max_length=48)
    states, seen = short.words(sentences, (1, -1))
    assert seen.all() and np.abs(states).sum(1).min() > 0
    # The first window is read as before, and a short sentence alone.
    begin, _ = short.words([words[:46] for words in sentences], (1, -1))
    assert np.allclose(states[:9], begin[:9], atol=1e-5)
    assert np.allclose(states[90], begin[46], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "entity", "bare"),
    [
        ("HER2- tumours", "HER2-", "HER2-"),
        ("the p53* gene", "p53*", "p53*"),
        ("the 5' end", "5'", "5'"),
        ("Acme Assoc. was here", "Acme Assoc.", "Acme Assoc."),
        ("he left Paris. Then", "Paris.", "Paris"),
        ("in Rome, he", "Rome,", "Rome"),
        ("'Acme' said", "Acme'", "Acme"),
        ("by Acme-Corp now", "Acme-", "Acme"),
    ],
)
def test_the_end_of_a_name_is_no_loose_edge(text, entity, bare):
    start = text.index(entity)
    found = bare_span(text, start, start + len(entity))
    assert text[slice(*found)] == bare
