"""Question answering: rows, windows, spans, answers of a trained run, families, the card's code."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from question_rows import question_rows
from safetensors.torch import load_file
from small_runs import call_recipe, flags, write_jsonl
from tiny import ENCODERS
from transformers import AutoModel, AutoModelForQuestionAnswering

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.features import IGNORED_LABEL, collate, model_inputs
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row
from lowcost_ft.data.sample_questions import sample_questions
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import (
    build_model,
    forward_module,
    load_tokenizer,
    load_trained,
    save_model,
)
from lowcost_ft.pipeline.answer_scores import score_notices
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.question_answering import Answer, QuestionAnsweringTask, QuestionExample
from lowcost_ft.tasks.question_answering.examples import read_examples
from lowcost_ft.tasks.question_answering.spans import IMPOSSIBLE, best_spans

TEXT = "Anna lives in Oslo. David lives in Nairobi, and Maria in Oslo too."
QUESTION = {"question": "Where does David live?", "context": TEXT}


def read(*rows, labelled=True, **reading):
    problems, notices = [], []
    examples = read_examples(
        [Row(row, f"a.jsonl:{number}") for number, row in enumerate(rows, 1)],
        ReadingOptions(**reading),
        problems=problems,
        notices=notices,
        labelled=labelled,
    )
    return examples, problems, notices


# --- Rows


@pytest.mark.parametrize(
    "answers",
    [
        {"answers": {"text": ["Nairobi"], "answer_start": [35]}},
        {"answers": {"text": "Nairobi", "answer_start": 35}},
        {"answers": [{"text": "Nairobi", "start": 35}]},
        {"answers": [{"text": "Nairobi", "answer_start": 35.0}]},
        {"answers": "Nairobi", "answer_start": 35},
        {"answer": "Nairobi", "answer_start": "35"},
        {"answers": ["Nairobi"], "answer_start": [35]},
        {"answers": '{"text": ["Nairobi"], "answer_start": [35]}'},
        {"answers": "{'text': ['Nairobi'], 'answer_start': [35]}"},  # As pandas writes it.
        {"answers": "{'text': array(['Nairobi'], dtype=object), 'answer_start': array([35])}"},
        {"answers": {"text": ["Nairobi"], "answer_start": [35]}, "is_impossible": False},
    ],
)
def test_answers_are_read_however_they_are_written(answers):
    (example,), problems, _ = read(QUESTION | answers | {"id": 7, "title": "People"})
    assert not problems
    assert example.answers == (Answer(start=35, text="Nairobi"),)
    assert (example.row_id, example.title) == (7, "People")


@pytest.mark.parametrize(
    "answers",
    [
        {"answers": []},
        {"answers": {"text": [], "answer_start": []}},
        {"answers": [], "is_impossible": True},
        {"answers": None, "is_impossible": True, "plausible_answers": [{"text": "Oslo"}]},
        {"answers": "", "is_impossible": "true"},
        {"answers": "", "is_impossible": "1"},
        {"answers": [], "is_impossible": 1},
        {"is_impossible": True},
    ],
)
def test_a_question_may_have_no_answer(answers):
    (example,), problems, _ = read(QUESTION | answers)
    assert not problems
    assert example.answers == ()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"answers": {"text": ["Nairobi"], "answer_start": [34]}}, "at answer_start 34 of"),
        ({"answers": {"text": ["Nairobi"], "answer_start": [34]}}, "but at 35; correct it"),
        ({"answers": [{"text": "nairobi", "start": 35}]}, "does not stand in the context"),
        ({"answers": ["Oslo"]}, "2 times, at 14, 57; give its answer_start"),
        ({"answers": {"text": ["Oslo", "x"], "answer_start": [14]}}, "is not a list of answers"),
        ({"answers": 5}, "is not a list of answers"),
        ({"answers": [{"text": "Oslo", "start": "here"}]}, "is not a number of characters"),
        ({"answers": [{"text": "Oslo", "start": True}]}, "is not a number of characters"),
        ({"answers": [{"text": " ", "start": 4}]}, "one character or more"),
        ({"answers": None}, 'write an empty list, or "is_impossible": true'),
        ({"answers": ""}, '"answers" is missing'),
        ({"answers": ["Nairobi"], "is_impossible": True}, '"is_impossible" is true'),
        ({"answers": ["Nairobi"], "is_impossible": "maybe"}, "must be true or false"),
        ({"answers": [], "context": " "}, '"context" is an empty text'),
        ({"answers": [], "question": 5}, '"question" is the number'),
    ],
)
def test_answers_that_cannot_be_right_are_refused_with_their_line(answers, message):
    examples, problems, _ = read(QUESTION | answers)
    assert not examples
    assert message in problems[0] and problems[0].startswith("a.jsonl:1: ")


def test_every_wrong_row_is_told_at_once():
    _, problems, _ = read(QUESTION | {"answers": ["x"]}, QUESTION | {"answers": ["y"]})
    assert [problem.split(": ")[0] for problem in problems] == ["a.jsonl:1", "a.jsonl:2"]


def test_an_answer_without_its_place_is_looked_up_and_told():
    (example,), _, notices = read(QUESTION | {"answers": ["Nairobi"]})
    assert example.answers[0].start == 35
    assert "1 row do not say where they start" in notices[0]


def test_rows_without_a_text_are_answered_with_none(trained, tmp_path, capsys):
    given = [("", "Anna lives in Oslo."), ("Where?", None), ("Where?", " "), ("Where?", TEXT)]
    rows = [{"question": question, "context": context} for question, context in given]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert main(["predict", str(trained), "--file", str(tmp_path / "a.jsonl"), "--json"]) == 0
    shown = capsys.readouterr()
    answers = [json.loads(line) for line in shown.out.splitlines()]
    assert [answer["score"] is None for answer in answers] == [True, True, True, False]
    assert "3 rows without a text, answered with an empty answer" in shown.err
    _, problems, _ = read(*(row | {"answers": []} for row in rows))
    assert len(problems) == 3  # In data to train on they are mistakes.


def test_columns_are_found_or_named():
    row = {"query": "Where?", "passage": "In Oslo.", "answer": "Oslo", "answer_start": 3}
    (example,), problems, notices = read(row)
    assert not problems and example.question == "Where?" and len(notices) == 3
    row = {"frage": "Wo?", "artikel": "In Oslo.", "antwort": ["Oslo"]}
    names = {"question_column": "frage", "context_column": "artikel", "answers_column": "antwort"}
    (example,), problems, _ = read(row, **names)
    assert not problems and example.context == "In Oslo."
    _, problems, _ = read(row)
    assert "no column for the question; name it with --question-column" in problems[0]


def squad(version="1.1", **question):
    asked = {"id": "a", "question": "Where does David live?"} | question
    paragraphs = [{"context": TEXT, "qas": [asked]}]
    return {"version": version, "data": [{"title": "People", "paragraphs": paragraphs}]}


@pytest.mark.parametrize("indent", [None, 1])
def test_files_in_the_layout_of_squad(tmp_path, indent):
    one = squad(answers=[{"text": "Nairobi", "answer_start": 35}])
    two = squad("v2.0", answers=[], is_impossible=True, plausible_answers=[])
    here = (Answer(start=35, text="Nairobi"),)
    for whole, answers in ((one, here), (two, ()), (one["data"], here)):
        file = tmp_path / "squad.json"
        file.write_text(json.dumps(whole, indent=indent), "utf-8")
        notices = []
        (example,) = read_examples_file(
            "question_answering",
            str(file),
            labelled=True,
            labels=["start", "end"],
            notices=notices,
        )
        assert example.answers == answers
        assert (example.title, example.row_id) == ("People", "a")
        assert "in the layout of SQuAD: 1 question about 1 article" in notices[0]
    file.write_text(json.dumps(squad(answers=[{"text": "x", "answer_start": 0}])), "utf-8")
    with pytest.raises(UserError, match="article 1, paragraph 1, question 1"):
        read_examples_file("question_answering", str(file), labelled=True, labels=["start", "end"])
    problems = []
    file.write_text('{"data": [{"title": "x", "paragraphs": [{"qas": 5}]}]}', "utf-8")
    read_rows(str(file), problems, [])
    assert '"qas" must be a list of objects' in problems[0]


def test_the_sample_is_right_and_no_page_is_in_two_splits():
    splits = sample_questions()
    titles = {name: {row["title"] for row in rows} for name, rows in splits.items()}
    assert not titles["train"] & titles["test"] and not titles["train"] & titles["validation"]
    for rows in splits.values():
        examples, problems, _ = read(*rows)
        assert not problems
        assert 0.1 < np.mean([not example.answers for example in examples]) < 0.3


def test_a_validation_split_does_not_part_an_article(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", question_rows(60))
    splits = ft.load_splits("question_answering", train_file=file, validation_share=0.2)
    parts = [{example.title for example in part} for part in (splits.train, splits.validation)]
    assert not parts[0] & parts[1] and parts[1]
    told = "\n".join(splits.notices)
    assert "rows with the same article stay on one side" in told
    assert "train: 15 questions of 60 without answer" in told


def test_questions_about_one_manual_alone_are_cut_and_told():
    context = " ".join(f"Part {number} costs {number + 30} euros." for number in range(20))
    rows = [
        {"question": f"Price of part {n}?", "context": context, "answers": [f"{n + 30} euros"]}
        for n in range(20)
    ]
    splits = ft.load_splits("question_answering", rows={"train": rows})
    assert (len(splits.train), len(splits.validation)) == (18, 2)
    assert "all 20 inputs are about one article" in " ".join(splits.notices)
    splits = ft.load_splits("question_answering", rows={"train": rows, "test": rows[:1]})
    assert len(splits.test) == 1


def test_data_without_any_answer_are_refused(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", question_rows(8, null_every=1))
    with pytest.raises(UserError, match="no question has an answer"):
        ft.load_splits("question_answering", train_file=file)


# --- Windows and spans


def example_of(context, answer=None, question="Where does David live?"):
    answers = None if answer is None else (Answer(start=context.index(answer), text=answer),)
    return QuestionExample(question=question, context=context, answers=answers, source="test")


@pytest.fixture(scope="module")
def bert(tiny_model):
    return load_tokenizer(tiny_model("bert"))


@pytest.mark.parametrize("family", [*ENCODERS, "gpt2", "llama"])
def test_a_short_text_is_what_the_tokenizer_makes_of_the_pair(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    causal = family not in ENCODERS
    task = QuestionAnsweringTask(causal=causal)
    example = example_of(TEXT, "Nairobi")
    features = task.featurize([example], tokenizer, max_length=128)
    first = example.question + "\n" * causal
    encoded = tokenizer(first, TEXT, return_offsets_mapping=True)
    ids = [*encoded["input_ids"], *([tokenizer.eos_token_id] if causal else [])]
    assert features.input_ids.tolist() == ids
    if "token_type_ids" in tokenizer.model_input_names:
        assert features.token_type_ids.tolist() == encoded["token_type_ids"]
    start, end = features["first"][0], features["last"][0]
    found = TEXT[features["char_starts"][start] : features["char_ends"][end]]
    assert found.strip() == "Nairobi"
    assert features["null"][0] == (len(ids) - 1 if causal else 0)
    inside = [part == 1 for part in encoded.sequence_ids(0)] + [False] * causal
    assert features["context_tokens"].tolist() == [int(part) for part in inside]


def test_windows_cover_a_long_text_and_teach_what_they_hold(bert):
    context = " ".join(["Please send the lamp to Madrid."] * 12) + " David lives in Nairobi."
    task = QuestionAnsweringTask(window_overlap=6)
    features = task.featurize([example_of(context, "Nairobi")], bert, max_length=40)
    assert len(features.examples) > 2 and features.num_examples == 1
    seen, found = set(), []
    for row, (start, end) in enumerate(zip(features.starts, features.starts[1:], strict=False)):
        assert end - start <= 40
        own = slice(start, end)
        inside = features["context_tokens"][own] == 1
        places = zip(features["char_starts"][own], features["char_ends"][own], strict=True)
        seen |= {place for place, part in zip(places, inside, strict=True) if part}
        first, last = features["first"][row], features["last"][row]
        if first == IGNORED_LABEL:
            assert features.weights[row] == 0
        elif first != features["null"][row]:
            characters = features["char_starts"][own][first], features["char_ends"][own][last]
            found.append(context[slice(*characters)])
    assert found and set(found) == {"Nairobi"}
    whole = bert(context, add_special_tokens=False, return_offsets_mapping=True)
    assert seen == set(whole["offset_mapping"])


def test_an_answer_that_a_window_cuts_is_not_learned_there(bert):
    context = "Please send the lamp. " + "Anna Berg of Northwind Traders in Madrid " + "ordered."
    answer = "Anna Berg of Northwind Traders in Madrid"
    task = QuestionAnsweringTask(window_overlap=2)
    features = task.featurize([example_of(context, answer, "Who?")], bert, max_length=16)
    assert (features["first"] == IGNORED_LABEL).any()
    assert features.weights.tolist() == (features["first"] != IGNORED_LABEL).tolist()


def test_each_window_teaches_the_answer_that_it_holds(bert):
    filler = " ".join(["Please send the lamp to Hamburg."] * 6)
    context = f"David lives in Nairobi. {filler} David lives in Madrid."
    first, second = (Answer(start=context.index(t), text=t) for t in ("Nairobi", "Madrid"))
    example = replace(example_of(context), answers=(first, second))
    features = QuestionAnsweringTask(window_overlap=2).featurize([example], bert, max_length=24)
    taught = []
    for row, start in enumerate(features.starts[:-1]):
        place = features["first"][row]
        if place not in (IGNORED_LABEL, features["null"][row]):
            taught.append(int(features["char_starts"][start + place]))
    assert taught == [first.start, second.start]


def test_answers_that_cannot_be_learned_or_given_are_told(bert):
    answer = "Anna Berg of Northwind Traders in Madrid"
    examples = [example_of(f"Please send the lamp. {answer} ordered.", answer, "Who?")] * 2
    examples += [example_of("Anna lives in Oslo.", "Oslo"), example_of("Anna lives in Oslo.")]
    task = QuestionAnsweringTask(window_overlap=2, max_answer_tokens=3)

    def told(max_length):
        features = task.featurize(examples, bert, max_length=max_length)
        return task.token_notices("train", examples, features)

    (cut,) = told(10)
    assert "train: no window holds the whole answer of 2 questions, first test:" in cut
    (long,) = told(64)
    assert "2 questions have more than --max-answer-tokens 3 tokens, up to" in long
    task.max_answer_tokens = 30
    assert told(64) == []


def test_a_long_question_leaves_room_for_its_text(bert):
    example = example_of(TEXT, "Nairobi", "Where does David live? " * 20)
    features = QuestionAnsweringTask().featurize([example], bert, max_length=24)
    assert features.truncated == 1
    told = QuestionAnsweringTask().cut_notice("test", 1, features, max_length=24, end="beginning")
    assert told == (
        "1 of 1 test questions fill more than half of --max-length 24: their end is cut off"
    )
    assert np.diff(features.starts).max() <= 24


def test_the_best_spans_are_those_of_all_pairs():
    draw = torch.Generator().manual_seed(0)
    start, end = (torch.randn(2, 12, generator=draw) for _ in range(2))
    start[:, 9:] = end[:, 9:] = IMPOSSIBLE
    first, last, score = best_spans(start, end, longest=4)
    for row in range(2):
        every = sorted(
            (
                (float(start[row, i] + end[row, j]), i, j)
                for i in range(9)
                for j in range(i, min(i + 4, 9))
            ),
            reverse=True,
        )
        found = zip(score[row].tolist(), first[row].tolist(), last[row].tolist(), strict=True)
        for (theirs, *places), (ours, *ours_places) in zip(every, found, strict=False):
            assert ours_places == places and ours == pytest.approx(theirs)


def predictions_of(task, examples, tokenizer, choose):
    """Predictions for logits that `choose` makes: 9 at the first and last token of its text."""
    features = task.featurize(examples, tokenizer, max_length=40)
    predictions = task.new_predictions(features)
    for row in np.random.default_rng(0).permutation(len(features.examples)):
        rows = np.array([row])
        batch = collate(features, rows, pad_token_id=tokenizer.pad_token_id)
        outputs = {
            name: torch.zeros(batch["input_ids"].shape, dtype=torch.float32)
            for name in ("first", "last")
        }
        text = choose(examples[features.examples[row]])
        context = examples[features.examples[row]].context
        place = context.find(text) if text else -1
        for token in range(batch["input_ids"].shape[1]):
            if text and batch["context_tokens"][0, token]:
                # Some tokens begin with the blank before their word.
                start, end = (int(batch[f"char_{side}"][0, token]) for side in ("starts", "ends"))
                if start <= place < end:
                    outputs["first"][0, token] = 9.0
                if start < place + len(text) <= end:
                    outputs["last"][0, token] = 9.0
        if not text:
            outputs["first"][0, 0] = 9.0
        decoded = {k: v.numpy() for k, v in task.decode_batch(outputs, batch).items()}
        task.store(predictions, decoded, batch, features.examples[rows])
    return predictions


def test_answers_have_the_exact_characters_of_any_script(tiny_model):
    texts = {
        "埃菲尔铁塔位于法国巴黎战神广场建成于一八八九年。": "法国巴黎",
        "Zürich  liegt\tan der Limmat; 🗼 steht in Paris.": "🗼 steht",
        " ".join(["Please send the lamp to Madrid."] * 9) + " Anna lives\n in Oslo.": "Oslo",
        "e\u0301cole à Paris": "Paris",
    }
    for family in ("bert", "roberta", "xlm-roberta", "deberta-v2", "gpt2"):
        tokenizer = load_tokenizer(tiny_model(family))
        task = QuestionAnsweringTask(causal=family == "gpt2", null_threshold=0.0)
        examples = [example_of(context, answer) for context, answer in texts.items()]
        wanted = {example.context: texts[example.context] for example in examples}
        found = predictions_of(task, examples, tokenizer, lambda e, w=wanted: w[e.context])
        for example, answer in zip(examples, task.present(examples, found), strict=True):
            assert example.context[answer["start"] : answer["end"]] == answer["answer"]
            assert answer["answer"] == answer["answer"].strip()
            if tokenizer.unk_token_id not in tokenizer(texts[example.context])["input_ids"]:
                assert answer["answer"] == texts[example.context], family


def test_no_answer_from_the_threshold_on(bert):
    examples = [example_of(TEXT, "Nairobi"), replace(example_of(TEXT), answers=())]
    task = QuestionAnsweringTask()
    predictions = predictions_of(task, examples, bert, lambda e: "Nairobi" if e.answers else "")
    assert task.thresholds is None and all(
        row["answer"] for row in task.present(examples, predictions)
    )
    task.choose_decisions(examples, predictions)
    answers = task.present(examples, predictions)
    assert [row["answer"] for row in answers] == ["Nairobi", ""]
    assert (answers[1]["start"], answers[1]["end"]) == (0, 0)
    assert all(0 < row["score"] <= 1 for row in answers)
    scores = task.score(examples, predictions)
    assert scores["answer_f1"] == scores["unanswerable_accuracy"] == 1
    assert task.losses(examples, predictions).tolist() == [0, 0]
    assert not task.changed(examples, predictions, predictions).any()


# --- A run


CONFIG = {"max_length": 40, "max_steps": 80, "learning_rate": 1e-2, "lora_r": 8}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    counts = {"train": 60, "validation": 20, "test": 20}
    return {
        f"{split}_file": write_jsonl(
            folder / f"{split}.jsonl", question_rows(count, seed=seed, sentences=3)
        )
        for seed, (split, count) in enumerate(counts.items())
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model, files):
    folder = tmp_path_factory.mktemp("runs") / "qa"
    arguments = flags(model_id=tiny_model("bert"), output_dir=folder, **CONFIG, **files)
    assert call_recipe("lora_qa", *arguments) == 0
    return folder


def test_a_run_records_scores_threshold_memory_and_predictions(trained, files):
    run = json.loads((trained / "run.json").read_text())
    test = run["evaluation"]["test"]
    assert {"exact_match", "answer_f1", "answer_f1_ci95", "unanswerable_accuracy"} <= set(test)
    assert test["groups"] == 5
    assert run["metric"] == "answer_f1" and len(run["thresholds"]) == 1
    planned, measured = (run["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.005, abs=6000)
    rows = [json.loads(line) for line in Path(files["test_file"]).read_text().splitlines()]
    found = [json.loads(line) for line in (trained / "predictions.jsonl").read_text().splitlines()]
    for row, answer in zip(rows, found, strict=True):
        assert {"id", "answer", "start", "end", "score"} <= set(answer)
        assert answer["id"] == row["id"]
        assert row["context"][answer["start"] : answer["end"]] == answer["answer"]
        assert answer["true_answers"] == row["answers"]["text"]
    card = (trained / "README.md").read_text()
    assert "question-answering" in card and "answer F1" in card and "--null-threshold" in card


def test_predict_answers_questions_about_texts_of_any_length(trained, tmp_path, capsys):
    text = "Please send the lamp on Monday. " * 40 + "Anna lives in Oslo."
    file = tmp_path / "manual.txt"
    file.write_text(text, "utf-8")
    asked = ["predict", str(trained), "--question", "Where does Anna live?"]
    assert main([*asked, "--context-file", str(file), "--json", "--n-best", "3"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["answers"]) == 3 and answer["answers"][0]["answer"] == answer["answer"]
    assert all(text[a["start"] : a["end"]] == a["answer"] for a in answer["answers"])
    assert [a["score"] for a in answer["answers"]] == sorted(
        (a["score"] for a in answer["answers"]), reverse=True
    )
    assert main([*asked, "--context", TEXT, "--json", "--null-threshold", "-1000"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == ""
    assert main([*asked, "--context", TEXT, "--null-threshold", "1000"]) == 0
    assert capsys.readouterr().out.startswith("Where does Anna live?\n  ")
    with pytest.raises(UserError, match=r"in Python call predictor\(\[question\], \[context\]\)"):
        ft.load_predictor(trained, question="Where?")
    predictor = ft.load_predictor(trained, n_best=2)
    (answer,) = predictor(["Where does Anna live?"], [TEXT])
    assert len(answer["answers"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--question", "Where?"], "give --context or --context-file"),
        (["--context", "In Oslo."], "--context is the text of one --question: give that"),
        (["--file", "a.jsonl", "--context-file", "b"], "--file whose rows hold a question and its"),
        (["--question", " ", "--context", "In Oslo."], "--question is an empty text"),
        (["--question", "Where?", "--context", " "], "--context is an empty text"),
        (["--question", "Where?", "--context", "a", "--context-file", "b"], "needs one text"),
        (["--question", "Where?", "--context-file", "missing.txt"], "missing.txt: No such file"),
        (["--question", "Where?", "--context", "a", "--text", "b"], "--text is not for question"),
        (["--text", "Where?"], "a question needs the text that it is about"),
        (["--question", "Where?", "--context", "a", "--n-best", "0"], "--n-best 0 is too small"),
        (["--question", "Where?", "--context", "a", "--top-k", "2"], "--top-k is for text class"),
    ],
)
def test_wrong_flags_are_refused(trained, arguments, message, capsys):
    assert main(["predict", str(trained), *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_there_is_no_flag_that_would_not_be_obeyed(capsys):
    for command in ("predict", "evaluate"):
        with pytest.raises(SystemExit) as stop:
            main([command, "no-run", "--no-null"])
        told = " ".join(capsys.readouterr().err.split())
        assert stop.value.code == 2 and "Unrecognized options: --no-null" in told


def test_lines_of_text_are_no_questions(trained, capsys, monkeypatch):
    from test_cli import stdin

    stdin(monkeypatch, b"Where is my parcel?\n")
    assert main(["predict", str(trained)]) == 2
    assert "a question needs the text that it is about" in " ".join(capsys.readouterr().err.split())


def test_evaluate_repeats_the_scores_and_takes_a_threshold(trained, files, capsys):
    test_file = ["--test-file", files["test_file"], "--json"]
    assert main(["evaluate", str(trained), *test_file]) == 0
    scores = json.loads(capsys.readouterr().out)
    recorded = json.loads((trained / "run.json").read_text())["evaluation"]["test"]
    assert scores["answer_f1"] == pytest.approx(recorded["answer_f1"])
    assert scores["answer_f1_ci95"] == pytest.approx(recorded["answer_f1_ci95"])
    assert main(["evaluate", str(trained), *test_file, "--null-threshold", "-1000"]) == 0
    assert json.loads(capsys.readouterr().out)["unanswerable_accuracy"] == 1


def test_scores_are_not_calibrated_for_a_threshold_that_they_were_not_fitted_with(
    trained, tmp_path
):
    run = shutil.copytree(trained, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["calibration"] = {"temperature": 2.0, "offset": -1.0}
    (run / "run.json").write_text(json.dumps(record))
    for threshold, calibrated in ((record["thresholds"][0], True), (-9.0, False)):
        predictor = ft.load_predictor(run, null_threshold=threshold)
        (answer,) = predictor(["Where does Anna live?"], ["Anna lives in Oslo."])
        assert ("calibrated" in answer) is calibrated
        (told,) = score_notices(predictor, [answer])
        assert ("another threshold than the one that was set" in told) is not calibrated


def test_a_run_merges_and_is_reported(trained, tmp_path):
    assert ft.merge_run(trained, tmp_path / "merged", max_drift=1.0).parity_gap < 1e-4
    page = tmp_path / "report.md"
    assert main(["report", str(trained), str(tmp_path / "merged"), "--output", str(page)]) == 0
    assert "answer F1" in page.read_text()


def test_the_card_says_whether_the_threshold_was_chosen():
    run = {"thresholds": [0.0], "evaluation": {"validation": {"answer_f1": 1.0}}}
    assert "was not chosen" in QuestionAnsweringTask.card(run, 384).limits[1]
    run["evaluation"]["validation"]["unanswerable"] = 2
    assert "was chosen on the validation split" in QuestionAnsweringTask.card(run, 384).limits[1]


def test_the_code_in_the_model_card_answers_as_the_run_does(trained, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (trained / "README.md").read_text(), re.DOTALL)
    assert "lowcost_ft" not in code and "pipeline(" not in code
    # A question and a text that fit into one window of the tiny model.
    code, count = re.subn(
        r"context = \(.*?\n\)", 'context = "Anna lives in Oslo."', code, flags=re.S
    )
    code = re.sub('question = ".*?"', 'question = "Where does Anna live?"', code)
    assert count == 1
    monkeypatch.chdir(trained)
    own = json.loads((trained / "run.json").read_text())["thresholds"][0]
    said = {threshold: printed_by(code, own, threshold, capsys) for threshold in (own, 1000.0)}
    for threshold, printed in said.items():
        predictor = ft.load_predictor(trained, null_threshold=threshold)
        (answer,) = predictor(["Where does Anna live?"], ["Anna lives in Oslo."])
        assert printed == (answer["answer"] or "(no answer)")
    assert said[1000.0] != "(no answer)"
    assert printed_by(code, own, -1000.0, capsys) == "(no answer)"


def printed_by(code, own, threshold, capsys):
    """What a card's code prints when its threshold for no answer is another."""
    assert f"> {own!r} else" in code
    capsys.readouterr()
    namespace = {}
    exec(
        compile(code.replace(f"> {own!r} else", f"> {threshold!r} else"), "card", "exec"), namespace
    )
    return capsys.readouterr().out.strip()


def test_the_pipelines_that_the_docs_name_are_those_of_transformers():
    from transformers.pipelines import PIPELINE_REGISTRY

    table = Path("docs/use.md").read_text("utf-8").split("| pipeline of transformers 5 |")[1]
    rows = table.split("\n\n")[0].splitlines()[2:]
    there = {name for row in rows[:-1] for name in re.findall(r"`([a-z]+-[a-z]+)`", row)}
    gone = set(re.findall(r"`([a-z0-9-]+)`", rows[-1]))
    known = set(PIPELINE_REGISTRY.get_supported_tasks())
    assert {"token-classification", "text-classification", "text-generation"} == there <= known
    assert "question-answering" in gone and not gone & known


# --- Families


@pytest.mark.parametrize("family", [*ENCODERS, "gpt2", "llama", "qwen3"])
def test_a_step_in_pieces_has_the_same_gradient(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    task = QuestionAnsweringTask(causal=family not in ENCODERS)
    examples, _, _ = read(*question_rows(6, sentences=3))
    features = task.featurize(examples, tokenizer, max_length=48)
    built = build_model(
        tiny_model(family),
        head=task.head,
        labels=task.labels,
        dropout=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = forward_module(built.model).train()

    def gradients(pieces):
        model.zero_grad()
        for rows in pieces:
            batch = collate(features, rows, pad_token_id=tokenizer.pad_token_id)
            loss = task.loss(task.forward(model, model_inputs(batch, features)), batch)
            (loss / features.weights.sum()).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    every = np.arange(len(features.examples))
    whole, parts = gradients([every]), gradients(np.array_split(every, 4))
    assert any(name.startswith(("qa_outputs", "classifier")) for name in whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["prefix", "prompt"])
def test_vectors_in_front_of_the_text_are_refused(tiny_model, method):
    with pytest.raises(UserError, match="drops token_type_ids for question answering"):
        build_model(
            tiny_model("bert"),
            head="question_answering",
            labels=["start", "end"],
            method=method,
        )


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_families_without_a_head_are_refused_with_the_reason(tiny_model, family):
    with pytest.raises(UserError, match="transformers has no question answering head"):
        build_model(tiny_model(family), head="question_answering", labels=["start", "end"])


def question_model(folder, **more):
    return build_model(folder, head="question_answering", labels=["start", "end"], **more)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_head_with_another_name_for_the_backbone_finds_it(tiny_model, tmp_path, family, whole):
    """Checkpoints of language models have a prefix, those of their backbone alone have none."""
    expected = AutoModel.from_pretrained(tiny_model(family), dtype=torch.float32)
    if not whole:
        expected.save_pretrained(tmp_path)
    model = question_model(str(tmp_path) if not whole else tiny_model(family)).model
    found = forward_module(model).transformer.state_dict()
    for name, parameter in expected.named_parameters():
        part, _, last = name.rpartition(".")
        own = name if name in found else f"{part}.base_layer.{last}"
        assert torch.equal(found[own], parameter), name


def test_a_fully_trained_decoder_loads_in_transformers_alone(tiny_model, tmp_path):
    built = question_model(tiny_model("llama"), method="full")
    save_model(built.model, load_tokenizer(tiny_model("llama")), tmp_path)
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path, dtype=torch.float32).eval()
    inputs = {"input_ids": torch.arange(3, 20).unsqueeze(0)}
    with torch.no_grad():
        assert torch.equal(plain(**inputs).start_logits, built.model(**inputs).start_logits)


def test_a_decoder_run_reloads_by_its_card_and_merged(
    tiny_model, tmp_path, files, monkeypatch, capsys
):
    run = tmp_path / "run"
    settings = {"max_length": 40, "max_steps": 2, "trainable_layers": 1, "lora_r": 4}
    settings |= {"cache_frozen_layers": True, "stream_frozen_layers": True}
    arguments = flags(model_id=tiny_model("llama"), output_dir=run, **settings, **files)
    assert call_recipe("lora_qa", *arguments) == 0
    record = json.loads((run / "run.json").read_text())
    planned, measured = (record["train"][f"{k}peak_memory_bytes"] for k in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.005)
    (code,) = re.findall(r"```python\n(.*?)```", (run / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(run)
    context = "Anna lives in Oslo."
    code = re.sub(r"context = \(.*?\n\)", f"context = {context!r}", code, flags=re.S)
    code = re.sub('question = ".*?"', 'question = "Who?"', code)
    predictor = ft.load_predictor(run)
    namespace = {}
    capsys.readouterr()
    exec(compile(code, "README.md", "exec"), namespace)
    (found,) = predictor([namespace["question"]], [context])
    advantage = float(namespace["no_answer"] - namespace["scores"].max())
    assert capsys.readouterr().out.strip() == (found["answer"] or "(no answer)")
    # Just below and above what the code found, the run decides in both ways.
    for added, given in ((-1e-3, False), (1e-3, True)):
        predictor = ft.load_predictor(run, null_threshold=advantage + added)
        (found,) = predictor([namespace["question"]], [context])
        assert bool(found["answer"]) is given
    inputs = dict(namespace["inputs"])
    ours = load_trained(run, record)
    assert ft.merge_run(run, tmp_path / "merged", max_drift=1.0).parity_gap < 1e-4
    merged = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "merged").eval()
    with torch.no_grad():
        wanted = ours.base_model(**inputs).start_logits
        assert torch.equal(namespace["model"].base_model(**inputs).start_logits, wanted)
        torch.testing.assert_close(merged(**inputs).start_logits, wanted, rtol=0, atol=1e-4)


def test_a_plan_knows_that_there_are_two_outputs(tiny_model, capsys):
    planned = ["plan", "--task", "question_answering", "--device", "cpu", "--max-length", "40"]
    planned += ["--model-id", tiny_model("bert")]
    assert main([*planned, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["change_first"]
    assert main([*planned, "--num-labels", "5"]) == 2
    assert "whose head always has 2 outputs" in " ".join(capsys.readouterr().err.split())


def test_texts_without_blanks_are_scored_by_characters(bert):
    examples = [example_of("埃菲尔铁塔位于法国巴黎战神广场。", "法国巴黎")]

    class Splits:
        train = examples

    config = ft.RunConfig(task="question_answering")
    task = QuestionAnsweringTask.from_splits(config, Splits(), causal=False)
    assert task.metric == "character_f1"
    predictions = predictions_of(task, examples, bert, lambda e: "巴黎")
    assert {"character_f1", "character_f1_ci95"} <= set(task.score(examples, predictions))
    # The answer lacks two of four characters.
    assert task.losses(examples, predictions) == pytest.approx([1 / 3])
    examples.append(replace(example_of("埃菲尔铁塔位于法国巴黎战神广场。"), answers=()))
    predictions = predictions_of(task, examples, bert, lambda e: "巴黎" if e.answers else "")
    task.choose_decisions(examples, predictions)
    scores = task.score(examples, predictions)
    assert scores["answerable_character_f1"] == pytest.approx(2 / 3)
    assert scores["character_f1"] == pytest.approx(5 / 6)
    assert scores["exact_match"] == scores["unanswerable_accuracy"] / 2 == 0.5
    again = QuestionAnsweringTask.from_record({"metric": "character_f1", "config": {}})
    assert again.metric == "character_f1"


def same_weights(one, other, tolerance):
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    # A bias over positions has rounding for a gradient, of which Adam makes a step.
    names = [name for name in first if tolerance == 0 or not name.endswith("qa_outputs.bias")]
    return all(np.allclose(first[name], second[name], rtol=0, atol=tolerance) for name in names)


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"checkpoint_every_steps": 2}, 0),
        ({"cache_frozen_layers": True}, 1e-4),
        ({"cache_frozen_layers": True, "stream_frozen_layers": True}, 1e-4),
    ],
)
def test_a_run_in_another_way_or_resumed_is_the_same_run(
    tmp_path, tiny_model, files, monkeypatch, changes, tolerance
):
    plain = {"max_length": 40, "max_steps": 4, "trainable_layers": 1, "dropout": 0.0}
    plain |= {"model_id": tiny_model("bert"), **files}

    def run(folder, **more):
        assert call_recipe("lora_qa", *flags(output_dir=folder, **plain, **more)) == 0
        return folder

    whole = run(tmp_path / "whole")
    if "checkpoint_every_steps" in changes:

        def stop(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(QuestionAnsweringTask, "score", stop)
            arguments = flags(output_dir=tmp_path / "other", **plain, **changes)
            assert call_recipe("lora_qa", *arguments) == 130
        changes = changes | {"resume": True}
    assert same_weights(whole, run(tmp_path / "other", **changes), tolerance)
