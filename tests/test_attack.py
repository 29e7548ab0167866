"""`lowcost-ft attack`: what mistakes cost, by chance and at worst; spans stay exact."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from question_rows import question_rows
from small_runs import forget_precision, ner_rows, relation_rows, text_rows, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.attack.answer import attack_text
from lowcost_ft.attack.attacks import AttackOptions, attack, check_task
from lowcost_ft.attack.changed_texts import Editable, editable
from lowcost_ft.attack.lists import packaged_synonyms, read_synonyms, unseen_entities
from lowcost_ft.attack.random_noise import at_random, noisy_examples
from lowcost_ft.attack.worst_case import without_word, worst_examples
from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.noise import NOISES, entity_noise, synonym_noise
from lowcost_ft.data.rows import Row
from lowcost_ft.data.text_edits import SpannedText, edited
from lowcost_ft.data.word_spans import word_spans
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.task import ClassificationTask
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.tasks.ner.example import NerExample
from lowcost_ft.tasks.question_answering.examples import read_examples

TEXT = "José met Anna Berg in Zürich. Then the clerk left, modern lamp in hand!"
SPANS = tuple(
    (TEXT.index(name), TEXT.index(name) + len(name), label)
    for name, label in (("José", "person"), ("Anna Berg", "person"), ("Zürich", "place"))
)
SPANNED = SpannedText(TEXT, SPANS)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", [*NOISES, "synonyms", "entities"])
def test_every_edit_keeps_the_spans_exact(kind):
    noises = NOISES | {
        "synonyms": synonym_noise({"clerk": ["assistant"], "anna": ["never"]}),
        "entities": entity_noise({"person": ["Li", "José"], "place": ["São Paulo"]}),
    }
    words = noises[kind](SPANNED)
    assert words
    for edits in words:
        for edit in edits:
            after = edited(SPANNED, [edit])
            assert after.text != TEXT
            for (start, end, label), (first, last, old) in zip(after.spans, SPANS, strict=True):
                inside = first <= edit[0] and edit[1] <= last
                assert label == old
                assert inside or after.text[start:end] == TEXT[first:last]


def test_kinds_do_what_their_name_says():
    def texts(kind):
        return {edited(SPANNED, [edit]).text for edits in NOISES[kind](SPANNED) for edit in edits}

    assert TEXT.replace("José", "Jose") in texts("diacritics")
    assert TEXT.replace("modern", "modem") in texts("ocr")
    assert TEXT.replace("clerk", "CLERK") in texts("case")
    assert TEXT.replace("the clerk", "theclerk") in texts("spacing")
    assert TEXT.replace("Zürich. Then", "Zürich then") in texts("run-on")
    assert TEXT.replace("clerk", "clekr") not in texts("typos")  # The last letter stays.
    assert NOISES["run-on"](SpannedText("\u4ed6\u6765\u4e86\u3002\u5979\u8d70\u4e86\u3002"))


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Zu\u0308rich", "Zurich"),
        ("क़लम नमस्ते", "कलम नमस्ते"),
        ("が", None),
        ("สวัสดี", None),
        ("كَتَبَ", "كتب"),
    ],
)
def test_lost_accents_leave_the_vowels_of_other_scripts(text, bare):
    found = NOISES["diacritics"](SpannedText(text))
    assert [edited(SpannedText(text), edits).text for edits in found] == ([bare] if bare else [])


def test_edits_at_random_are_as_many_as_asked_for_where_some_meet():
    example = TextExample(text="Jane Smith left", label="a", source="")
    whole, inside, apart = ((0, 10, "Wei Chen"), (5, 7, "Sn"), (11, 13, "lf"))
    one = Editable(
        example=example,
        texts=(SpannedText(example.text),),
        words=tuple(((0, edit),) for edit in (whole, inside, apart)),
        length=3,
    )
    task = ClassificationTask(["a", "b"])
    for seed in range(8):
        found = at_random(task, one, 2, np.random.default_rng(seed))
        assert found.text in ("Wei Chen lfft", "Jane Snith lfft")


def test_a_long_text_is_cut_into_words_once_and_written_a_few_times(monkeypatch):
    cuts, written = [], []
    monkeypatch.setattr(
        "lowcost_ft.attack.changed_texts.word_spans",
        lambda text: cuts.append(1) or word_spans(text),
    )
    task = ClassificationTask(["a", "b"])
    monkeypatch.setattr(
        type(task), "with_texts", lambda self, one, texts: written.append(1) or texts[0].text
    )
    example = TextExample(text="a long letter about nothing " * 200, label="a", source="")
    one = editable(task, example, {"typos": NOISES["typos"]}, np.random.default_rng(0))
    assert (len(one.words), one.length, len(cuts)) == (800, 1000, 1)
    found = at_random(task, one, 400, np.random.default_rng(0))
    assert sum(a != b for a, b in zip(found.split(), example.text.split(), strict=True)) == 400
    assert len(written) <= 2


def test_an_edit_that_cannot_be_leaves_the_others(monkeypatch):
    task = ClassificationTask(["a", "b"])
    monkeypatch.setattr(
        type(task),
        "with_texts",
        lambda self, one, texts: texts[0].text * ("X" not in texts[0].text) or None,
    )
    text = "abcdefghij"
    one = Editable(
        example=TextExample(text=text, label="a", source=""),
        texts=(SpannedText(text),),
        words=tuple(
            ((0, (place, place + 1, "X" if place in (2, 7) else letter.upper())),)
            for place, letter in enumerate(text)
        ),
        length=10,
    )
    assert at_random(task, one, 10, np.random.default_rng(0)) == "ABcDEFGhIJ"
    for seed in range(8):
        found = at_random(task, one, 5, np.random.default_rng(seed))
        assert sum(letter.isupper() for letter in found) == 5


def test_synonyms_are_read_and_packaged(tmp_path):
    assert "large" in packaged_synonyms()["big"]
    path = tmp_path / "words.txt"
    path.write_text("lamp\tlight\n\n# comment\nalone\n", "utf-8")
    with pytest.raises(UserError, match=r"words.txt:4"):
        read_synonyms(str(path))
    path.write_text("lamp\tlight\n", "utf-8")
    (edits,) = synonym_noise(read_synonyms(str(path)))(SpannedText("a LAMP"))
    assert edits == [(2, 6, "LIGHT")]


def test_synonyms_of_several_words_are_put_in_the_longest_first():
    noise = synonym_noise({"look for": ["search"], "look": ["see"], "退款": ["退钱"], "款": ["项"]})
    text = SpannedText("Look  for it, look")
    assert noise(text) == [[(0, 9, "Search")], [(14, 18, "see")]]
    # Chinese has no blanks: each character counts as a word.
    assert noise(SpannedText("我要退款")) == [[(2, 4, "退钱")]]
    # Nothing changes inside an entity, nor across its edge.
    assert noise(SpannedText("我要退款", ((3, 4, "thing"),))) == []


def test_answers_to_questions_follow_the_text():
    task = task_class("question_answering")
    rows = [
        {
            "question": "Where does Anna live?",
            "context": "Anna lives in the old town of Oslo, not in Bergen.",
            "answers": {"text": ["Oslo", "old town of Oslo"], "answer_start": [30, 18]},
        }
    ]
    (example,) = read_examples(
        [Row(row, "row") for row in rows], _reading(), problems=[], notices=[]
    )
    own = task.for_planning([])
    question, context = own.spanned_texts(example)
    assert context.spans == ((18, 34, "answer"),)
    moved = own.with_texts(example, [question, edited(context, [(0, 4, "Johanna")])])
    for answer in moved.answers:
        assert moved.context[answer.start : answer.start + len(answer.text)] == answer.text
    assert own.with_texts(example, [question, edited(context, [(18, 21, "new")])]) is None


def _reading():
    from lowcost_ft.config.reading import ReadingOptions

    return ReadingOptions()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked")
    kinds = {
        "ner": ner_rows(24, seed=5),
        "single": text_rows(24, seed=5),
        "multi": text_rows(24, kind="multi", seed=5),
        "number": text_rows(24, kind="number", seed=5),
        "relation": relation_rows(24, seed=5),
        "question": question_rows(16, seed=5),
    }
    return {kind: write_jsonl(folder / f"{kind}.jsonl", rows) for kind, rows in kinds.items()}


@pytest.mark.parametrize(
    ("kind", "family", "quantization"),
    [
        ("ner", "bert", "none"),
        ("single", "gpt2", "none"),
        ("multi", "bert", "none"),
        ("number", "llama", "none"),
        ("relation", "bert", "none"),
        ("ner", "bert", "nf4"),
    ],
)
def test_the_worst_case_is_worse_than_chance(trained_run, files, kind, family, quantization):
    forget_precision()
    folder = str(trained_run(kind, family, quantization=quantization))
    predictor = load_predictor(folder)
    from lowcost_ft.pipeline.run_input import read_labelled_file

    examples = read_labelled_file(predictor.run, files[kind], notices=[])
    found = attack(predictor, examples, AttackOptions(edits=2))
    assert found["rows"] == len(examples)
    assert found["clean"]["score"] == pytest.approx(predictor.score(examples)[found["metric"]])
    levels = found["worst_case"]["edits"]
    assert [level["edits"] for level in levels] == [1, 2]
    assert found["clean"]["score"] >= levels[0]["score"] - 1e-9 or kind == "number"
    if found["clean"]["score"] > 0.3 and kind != "number":
        assert levels[-1]["lost"] > 0
        assert levels[-1]["score"] <= levels[-1]["random"]["score"]
    for level in levels:
        low, high = level["lost_ci95"]
        assert low - 1e-9 <= level["lost"] <= high + 1e-9 or kind == "number"
    assert ("joined" in found) == (kind == "ner")
    assert ("joined" in found["left_out"]) == (kind != "ner")
    assert "masked-model" in found["left_out"]


def test_the_worst_edits_of_numbers_lower_their_correlation_not_shift_them_all(monkeypatch):
    task = ClassificationTask([], problem_type="regression")
    worth = {"so": 0.0, "x": 0.5, "up": 5.0, "down": -4.0}

    def predictions(predictor, examples):
        words = [example.text.split() for example in examples]
        return {"scores": np.array([[float(number) + worth[word]] for number, word in words])}

    monkeypatch.setattr("lowcost_ft.attack.worst_case.predictions_of", predictions)
    rows = [TextExample(text=f"{n} so", label=float(n), source=str(n)) for n in range(1, 9)]
    noise = synonym_noise({"so": ["up", "down"]})
    predictor = SimpleNamespace(task=task)
    worst, _ = worst_examples(predictor, rows, {"synonyms": noise}, edits=1, seed=0)
    # The squared error is largest where all go up: the correlation would still be 1.
    after = predictions(predictor, [state.after(1) for state in worst])["scores"][:, 0]
    assert np.corrcoef(after, np.arange(1, 9))[0, 1] < 0
    assert max(state.harm for state in worst) > min(state.harm for state in worst)


def test_a_broken_entity_harms_more_than_doubt_about_one_that_is_found():
    task = NerTask(["O", "B-p"])
    row = NerExample(words=("anna", "left"), tags=("B-p", "O"), source="1")
    found, doubted, broken = (
        {"label": np.array([label, 0]), "score": np.array([score, 0.99])}
        for label, score in ((1, 0.9), (1, 0.4), (0, 0.45))
    )
    assert task.losses([row], doubted) > task.losses([row], broken)
    harms = [task.harm_values([row], one)[0] for one in (found, doubted, broken)]
    assert harms == sorted(harms)
    assert len(set(harms)) == 3


def test_a_missed_label_harms_more_than_doubt_about_those_that_are_given():
    kind = "multi_label_classification"
    task = ClassificationTask(["a", "b"], problem_type=kind, thresholds=[0.9, 0.5])
    row = TextExample(text="x", label=("a",), source="1")
    doubted, missed = ({"scores": np.array([scores])} for scores in ((0.95, 0.45), (0.85, 0.01)))
    assert task.losses([row], doubted) > task.losses([row], missed)
    assert task.harm_values([row], doubted) < task.harm_values([row], missed)


def test_doubt_about_an_answer_counts_where_the_answer_stays():
    task = task_class("question_answering").for_planning([])
    asked = {"question": "Where?", "context": "Anna in Lagos"}
    asked["answers"] = {"text": ["Lagos"], "answer_start": [8]}
    (row,) = read_examples([Row(asked, "row")], _reading(), problems=[], notices=[])

    def harm(right, wrong):
        spans = {"start": [[8, 0]], "end": [[13, 4]], "score": [[right, wrong]]}
        arrays = {name: np.array(value) for name, value in spans.items()}
        return task.harm_values([row], arrays | {"example": np.array([0]), "null": np.zeros(1)})[0]

    assert 0 < harm(5.0, 1.0) < harm(5.0, 4.0) < 0.02 < harm(4.0, 5.0)


def test_entities_are_swapped_for_unseen_ones(trained_run, files, tmp_path):
    forget_precision()
    predictor = load_predictor(trained_run("ner", "bert"))
    examples = predictor.read(files["ner"])
    from lowcost_ft.pipeline.run_input import read_labelled_file

    examples = read_labelled_file(predictor.run, files["ner"], notices=[])
    with pytest.raises(UserError, match="training has seen all that could be put in"):
        attack(predictor, examples, AttackOptions(kinds=("entities",), edits=0))
    path = tmp_path / "entities.txt"
    path.write_text("person\tZoltan\nperson\tanna\nplace\tReykjavik\n", "utf-8")
    options = AttackOptions(kinds=("entities",), edits=1, entities=str(path))
    found = attack(predictor, examples, options)
    new = {edit["new"] for example in found["examples"] for edit in example["edits"]}
    assert new <= {"Zoltan", "Reykjavik"}
    assert any("2 of 3 to put in are not in training" in notice for notice in predictor.notices)


def test_a_list_of_entities_may_have_types_that_the_test_file_lacks(trained_run, files, tmp_path):
    from lowcost_ft.pipeline.run_input import read_labelled_file

    run = load_run(trained_run("ner", "bert"))
    task = task_class("ner").from_record(run)
    examples = read_labelled_file(run, files["ner"], notices=[])
    examples = [one for one in examples if all("place" not in tag for tag in one.tags)]
    path = tmp_path / "entities.txt"
    path.write_text("person\tZoltan\nplace\tReykjavik\n", "utf-8")
    assert unseen_entities(run, task, examples, str(path))[0] == {"person": ["Zoltan"]}
    # Where training is not at hand, the labels of the run tell its types.
    run |= {"config": run["config"] | {"train_file": "gone.jsonl"}}
    assert unseen_entities(run, task, examples, str(path))[0] == {"person": ["Zoltan"]}
    path.write_text("planet\tMars\n", "utf-8")
    with pytest.raises(UserError, match="'planet' is not a type of the data; those: person, place"):
        unseen_entities(run, task, examples, str(path))


def test_entities_of_the_sample_are_known_from_training(trained_run):
    forget_precision()
    task = load_predictor(trained_run("ner", "bert")).task
    config = RunConfig(task="ner").to_dict()
    sample = load_run_splits(config)
    seen = {span for row in sample.train for span in named(task, row)}
    run = {"task": "ner", "config": config, "data": {"in_python": False}}
    unseen, notices = unseen_entities(run, task, sample.test, None)
    assert unseen
    assert not seen & {(text, label) for label, texts in unseen.items() for text in texts}
    assert "are not in training" in notices[0]
    run["data"] = {"in_python": True}
    _, notices = unseen_entities(run, task, sample.test, None)
    assert "training data are not at hand" in notices[0]


def named(task, example):
    (spanned,) = task.spanned_texts(example)
    return [(spanned.text[start:end], label) for start, end, label in spanned.spans]


def test_words_are_ranked_by_what_the_whole_word_is_worth(trained_run):
    forget_precision()
    task = load_predictor(trained_run("single", "bert")).task
    one = editable(
        task, TextExample(text="refund my card", label="refund", source="1"), NOISES, RNG
    )
    texts = [without_word(task, one, word).text for word in range(len(one.words))]
    assert texts == ["x my card", "refund x card", "refund my x"]


def test_an_entity_of_several_words_loses_one_of_them(trained_run):
    forget_precision()
    task = load_predictor(trained_run("ner", "bert")).task
    row = NerExample(words=("to", "red", "river"), tags=("O", "B-place", "I-place"), source="1")
    one = editable(task, row, NOISES, RNG)
    after = [without_word(task, one, word) for word in range(len(one.words))]
    assert [changed.words for changed in after] == [
        ("x", "red", "river"),
        ("to", "x", "river"),
        ("to", "red", "x"),
    ]
    assert all(changed.tags == row.tags for changed in after)


def test_noise_is_the_same_whatever_else_is_asked(trained_run, files):
    forget_precision()
    predictor = load_predictor(trained_run("ner", "bert"))
    from lowcost_ft.pipeline.run_input import read_labelled_file

    examples = read_labelled_file(predictor.run, files["ner"], notices=[])
    task = predictor.task
    one, changed = noisy_examples(task, examples, "ocr", NOISES["ocr"], 0.4, seed=3)
    other, _ = noisy_examples(task, examples[:10], "ocr", NOISES["ocr"], 0.4, seed=3)
    assert one[:10] == other and changed
    for before, after in zip(examples, one, strict=True):
        assert np.array_equal(before.tags, after.tags)


def test_the_command_prints_json_and_writes_a_page(trained_run, files, tmp_path, capsys):
    forget_precision()
    page = tmp_path / "attack.html"
    words = ["attack", str(trained_run("single", "bert")), "--test-file", files["single"]]
    capsys.readouterr()  # What training printed.
    words += ["--kinds", "typos,case", "--edits", "1", "--output", str(page), "--max-rows", "12"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"] == 12
    assert set(found["noise"]) <= {"typos", "case"}
    html = page.read_text("utf-8")
    assert html.count("data:image/svg+xml") == 2
    assert main(words) == 0
    assert "worst case" in capsys.readouterr().out


def test_of_a_long_text_the_terminal_shows_what_is_around_the_edit():
    long = "so it goes on " * 300
    (whole,) = attack_text_of("a\nb c", "a\nb x")
    assert whole == ("a b c", "a b x")
    (shown,) = attack_text_of(f"{long}here {long}", f"{long}hree {long}")
    for text, word in zip(shown, ("here", "hree"), strict=True):
        assert word in text
        assert len(text) < 250
        assert text.startswith("... ") and text.endswith(" ...")


def attack_text_of(*texts):
    """The two texts of each example that the terminal shows."""
    before, after = texts
    level = {"score": 1.0, "ci95": [1.0, 1.0], "lost": 0.0, "lost_ci95": [0.0, 0.0]}
    found = {"metric": "accuracy", "clean": level, "rows": 2, "noise": {}, "left_out": {}}
    found["examples"] = [{"source": "x:1", "texts": [before], "changed": [after]}]
    lines = [line[4:] for line in attack_text(found).split("\n") if line.startswith("    ")]
    return list(zip(lines[::2], lines[1::2], strict=True))


def test_guessed_words_come_from_a_masked_model(trained_run, tiny_model, files, capsys):
    forget_precision()
    words = ["attack", str(trained_run("single", "bert")), "--test-file", files["single"]]
    words += ["--kinds", "masked-model", "--edits", "0", "--json"]
    capsys.readouterr()
    assert main([*words, "--masked-model", tiny_model("roberta")]) == 0
    assert "masked-model" in json.loads(capsys.readouterr().out)["noise"]
    assert main([*words, "--masked-model", tiny_model("gpt2")]) == 2


def test_a_task_that_cannot_be_attacked_is_refused():
    class Silent:
        name, can_edit, can_measure = "ner", True, False

    with pytest.raises(UserError, match="when a changed text should keep its answer"):
        check_task(Silent)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kinds", "typos,wrong"], "--kinds wrong: unknown"),
        (["--edits", "-1"], "--edits -1 is too small"),
        (["--seed", "-1"], "--seed -1 is too small"),
        (["--kinds", "joined"], "--kinds joined: the truth of no two of these texts"),
        (["--kinds", "masked-model"], "needs --masked-model MODEL"),
        (["--kinds", "typos", "--entities", "x"], "--entities is for --kinds entities"),
        (["--entities", "x"], "--entities x: the labels of these texts are about no part of them"),
        (["--output", "attack.txt"], "must end in .html"),
    ],
)
def test_wrong_flags_are_refused(trained_run, files, words, message, capsys):
    forget_precision()
    words = ["attack", str(trained_run("single", "bert")), "--test-file", files["single"], *words]
    assert main(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("start", "end"), [(13, 14), (18, 19)])
def test_an_answer_or_an_end_of_a_pair_that_is_glued_to_a_word_is_no_edit(start, end):
    text = "Anna works at Acme in Paris. Bo does not."
    question = {"question": "Where?", "context": text}
    question["answers"] = {"text": ["Acme"], "answer_start": [14]}
    pair = {"text": text, "head": {"start": 14, "end": 18}, "tail": {"start": 22, "end": 27}}
    for name, row in (("question_answering", question), ("relation", pair | {"label": "in"})):
        task = task_class(name)
        (example,) = task.read([Row(row, "row")], _reading(), problems=[], notices=[])
        if name == "relation":
            (example,) = task.finish(
                {"train": [example]}, reading=_reading(), problems=[], notices=[]
            )[0]["train"]
        own = task.for_planning([])
        *others, spanned = own.spanned_texts(example)
        assert own.with_texts(example, [*others, edited(spanned, [(start, end, "")])]) is None
        moved = own.with_texts(example, [*others, edited(spanned, [(30, 31, "00")])])
        assert moved is not None  # Elsewhere an edit is one.


def test_an_answer_that_ended_inside_a_word_may_stay_there():
    task = task_class("question_answering")
    row = {"question": "\u54ea\u91cc?", "context": "\u4ed6\u5728\u5317\u4eac\u5de5\u4f5c"}
    row["answers"] = {"text": ["\u5317\u4eac"], "answer_start": [2]}
    (example,) = task.read([Row(row, "row")], _reading(), problems=[], notices=[])
    own = task.for_planning([])
    question, context = own.spanned_texts(example)
    assert own.with_texts(example, [question, edited(context, [(0, 1, "\u5979")])]) is not None


def test_ends_of_pairs_are_known_on_either_side_and_listed_by_their_type(tmp_path):
    def rows(*pairs):
        found = []
        for head, tail in pairs:
            text = f"{head} knows {tail}."
            start = text.index(tail)
            found.append({
                "text": text, "label": "knows",
                "head": {"start": 0, "end": len(head), "type": "person"},
                "tail": {"start": start, "end": start + len(tail), "type": "person"},
            })  # fmt: skip
        return found

    task = task_class("relation")
    train = write_jsonl(tmp_path / "train.jsonl", rows(("Ann", "Bob")))
    given = [Row(row, "row") for row in rows(("Bob", "Cid"), ("Dan", "Ann"))]
    examples = task.read(given, _reading(), problems=[], notices=[])
    run = {"task": "relation", "config": {"train_file": train}, "labels": ["knows"]}
    own = task.for_planning([])
    found, notices = unseen_entities(run, own, examples, None)
    assert found == {"head person": ["Dan"], "tail person": ["Cid"]}
    assert "2 of 4 to put in are not in training" in notices[0]
    listed = tmp_path / "list.tsv"
    listed.write_text("person\tZed Young\n")
    found, _ = unseen_entities(run, own, examples, str(listed))
    assert found == {"head person": ["Zed Young"], "tail person": ["Zed Young"]}


def test_one_text_that_cannot_be_joined_leaves_the_others(trained_run, files, tmp_path):
    from lowcost_ft.pipeline.run_input import read_labelled_file

    forget_precision()
    predictor = load_predictor(trained_run("ner", "bert"))
    odd = {"tokens": ["new york", "anna"], "tags": ["B-place", "B-person"]}
    rows = [{"tokens": row["tokens"], "tags": row["tags"]} for row in ner_rows(9, seed=5)]
    path = write_jsonl(tmp_path / "rows.jsonl", [odd, *rows])
    examples = read_labelled_file(predictor.run, path, notices=[])
    found = attack(predictor, examples, AttackOptions(kinds=("joined",), edits=0))
    assert found["joined"][0] == found["joined"][0] | {"texts": 2, "rows": 4}


def test_a_correlation_has_no_interval_of_a_share(trained_run, files):
    from lowcost_ft.attack.measured import measure
    from lowcost_ft.pipeline.run_input import read_labelled_file

    forget_precision()
    predictor = load_predictor(trained_run("number", "bert"))
    examples = read_labelled_file(predictor.run, files["number"], notices=[])[:1] * 12
    found = measure(predictor, examples, range(12), seed=0)  # All are the same: no correlation.
    assert (found.score, found.ci95) == (0.0, (0.0, 0.0))
