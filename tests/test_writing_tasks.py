"""Translation, summarization and dialogue: trained, planned, resumed, saved, used and merged."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from served import loaded, serving
from small_runs import dialogue_rows, pair_rows, same_weights, trained, write_jsonl
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.writing.flags import WritingFlags

DRAWN = {"temperature": 0.7, "sample_top_k": 5}
BEAMS = {"num_beams": 3, "length_penalty": 2.0}
ROWS = {"translation": pair_rows, "summarization": pair_rows, "dialogue": dialogue_rows}
LIMITS = {"max_steps": 6, "batch_size": 4, "max_length": 96, "max_target_length": 12}
LIMITS |= {"learning_rate": 1e-2, "generated_validation_rows": 2, "chat_template": "plain"}


def config_of(task, tiny_model, tmp_path, family="llama", **changes):
    files = {
        "train_file": write_jsonl(tmp_path / "train.jsonl", ROWS[task](20)),
        "test_file": write_jsonl(tmp_path / "test.jsonl", ROWS[task](4, 1)),
    }
    values = {"output_dir": str(tmp_path / "run")} | LIMITS | files | changes
    return ft.RunConfig(task=task, model_id=tiny_model(family), **values)


@pytest.mark.parametrize("task", list(ROWS))
def test_a_run_is_planned_trained_saved_used_scored_and_merged(tmp_path, tiny_model, task, capsys):
    folder, record = trained(config_of(task, tiny_model, tmp_path))
    planned, measured = (record["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.005, abs=6000)
    scores = record["evaluation"]["test"]
    assert scores["written"] == scores["examples"] == 4 and scores["perplexity"] > 1
    assert set(task_class(task).metrics) < set(scores)
    assert record["evaluation"]["validation"]["written"] == 2
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 4 and all({"written", "true_text", "loss"} <= set(row) for row in lines)
    capsys.readouterr()
    assert main(["predict", str(folder), "--file", str(tmp_path / "test.jsonl"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["written"] for a in answers] == [line["written"] for line in lines]
    test_file = ["--test-file", str(tmp_path / "test.jsonl"), "--json"]
    assert main(["evaluate", str(folder), *test_file]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["perplexity"] == pytest.approx(scores["perplexity"], rel=1e-4)
    assert main(["predict", str(folder), "--text", "where is my desk?"]) == 0
    report = ft.merge_run(folder, tmp_path / "merged", max_drift=1.0)
    assert report.parity_gap < 1e-4


def test_a_cached_run_and_one_in_pieces_train_the_same(tmp_path, tiny_model):
    plain = {"trainable_layers": 1, "dropout": 0.0, "generated_validation_rows": 0}
    folder, record = trained(config_of("translation", tiny_model, tmp_path, **plain))
    assert record["metric"] == "token_probability"
    for number, changes in enumerate(
        ({"cache_frozen_layers": True}, {"gradient_accumulation_steps": 4})
    ):
        out = {"output_dir": str(tmp_path / f"other{number}")}
        other, again = trained(
            config_of("translation", tiny_model, tmp_path, **plain, **changes, **out)
        )
        assert same_weights(folder, other)
        # Texts are written by the whole model, also where its lower layers had been taken out.
        for name in ("perplexity", "chrf", "written"):
            scores = [one["evaluation"]["test"][name] for one in (record, again)]
            assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, tiny_model, monkeypatch):
    folder, _ = trained(config_of("dialogue", tiny_model, tmp_path, checkpoint_every_steps=2))
    changes = {"output_dir": str(tmp_path / "stopped"), "checkpoint_every_steps": 2}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(task_class("dialogue"), "score", stop)
        trained(config_of("dialogue", tiny_model, tmp_path, **changes))
    again, record = trained(config_of("dialogue", tiny_model, tmp_path, **changes, resume=True))
    assert record["train"]["optimizer_steps"] == 6
    assert same_weights(folder, again, tolerance=0)


def test_a_merged_folder_writes_the_same_by_plain_generate(tmp_path, tiny_model):
    folder, _ = trained(config_of("translation", tiny_model, tmp_path))
    ft.merge_run(folder, tmp_path / "merged", max_drift=1.0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    predictor = ft.load_predictor(folder)
    tokenizer = predictor.tokenizer
    for text in ("where is my desk?", "where is my lamp 3?"):
        answer = predictor([text])[0]["written"]
        chat = [{"role": "user", "content": f"Translate:\n{text}"}]
        prompt = tokenizer.apply_chat_template(chat, tokenize=False)
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(
                **inputs, max_new_tokens=12, do_sample=False, use_cache=True, pad_token_id=0
            )
        new = written[0, inputs["input_ids"].shape[1] :]
        assert tokenizer.decode(new, skip_special_tokens=True).strip() == answer


def test_a_line_break_that_the_shell_left_as_it_was_typed_is_refused(tmp_path, tiny_model):
    template = {"prompt_template": "In French:\\n{source}"}
    with pytest.raises(UserError, match="holds a backslash and an n"):
        trained(config_of("translation", tiny_model, tmp_path, **template))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"chat_template": "auto"}, "has no chat template"),
        ({"max_target_length": 90}, "leaves no room for the input"),
        ({"num_beams": 2, "temperature": 0.7}, "give one of them"),
        ({"sample_top_p": 0.9}, "add --temperature"),
        ({"length_penalty": 2.0}, "add --num-beams"),
        ({"no_repeat_ngram_size": 1}, "would forbid every token of the input"),
        (
            {"prompt_template": "{source}"},
            "--prompt-template is for text classification, translation and",
        ),
        ({"method": "prompt"}, "puts vectors in front of the text"),
        ({"method": "head"}, "a language model has none"),
        ({"label_smoothing": 0.1}, "--label-smoothing"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, tiny_model, changes, told):
    with pytest.raises(UserError, match=told):
        trained(config_of("dialogue", tiny_model, tmp_path, **changes))


def test_a_family_that_is_not_in_the_table_writes(tmp_path, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("gpt2"))
    config = AutoConfig.for_model(
        "opt",
        vocab_size=len(tokenizer),
        hidden_size=32,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        max_position_embeddings=130,
        eos_token_id=tokenizer.eos_token_id,
    )
    folder = str(tmp_path / "opt")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    changes = {"target_modules": "all-linear", "max_steps": 1}
    with pytest.raises(UserError, match="lower it to 130"):
        trained(config_of("translation", lambda _: folder, tmp_path, **changes, max_length=131))
    run, record = trained(config_of("translation", lambda _: folder, tmp_path, **changes))
    assert record["evaluation"]["test"]["written"] == 4
    assert ft.load_predictor(run, max_target_length=46).task.generation().max_new_tokens == 46
    with pytest.raises(UserError, match=r"46 tokens that .* behind a prompt of 84; lower it"):
        ft.load_predictor(run, max_target_length=47)


@pytest.mark.parametrize("name", ["openai-gpt", "mamba"])
def test_a_model_that_keeps_no_keys_is_refused_before_it_is_trained(name):
    task = task_class("translation").for_planning([])
    with pytest.raises(UserError, match="keeps no keys and values"):
        task.take_model(AutoConfig.for_model(name), model_id="x")


def test_texts_that_end_with_a_forced_token_are_told_as_cut_off():
    task = task_class("translation").for_planning([])
    tokens = np.array([[5, 6, 7, 0], [5, 6, 0, 0], [5, 6, 7, 8]])
    predictions = {"tokens": tokens, "written": np.ones(3)}
    (warning,), _ = task.doubts("test", [], {}, predictions)
    assert warning.startswith("2 of 3 texts of the test split were cut off at")


def test_texts_may_be_longer_than_in_training_where_positions_have_no_end(tmp_path, tiny_model):
    run, _ = trained(config_of("translation", tiny_model, tmp_path, max_steps=1))
    predictor = ft.load_predictor(run, max_target_length=140)  # The configuration says 130.
    assert predictor(["where is my desk?"])[0]["written"]


@pytest.mark.parametrize(
    ("run", "flags", "expected"),
    [
        (DRAWN, {"temperature": 0.0}, {"temperature": 0.0, "sample_top_k": None}),
        (DRAWN, {"num_beams": 2}, {"temperature": 0.0, "sample_top_k": None, "num_beams": 2}),
        (DRAWN, {"max_target_length": 9}, DRAWN),
        (BEAMS, {"num_beams": 1}, {"num_beams": 1, "length_penalty": 1.0}),
        (BEAMS, {"temperature": 0.5}, {"num_beams": 1, "length_penalty": 1.0, "temperature": 0.5}),
        (BEAMS, {"num_beams": 4}, {"num_beams": 4, "length_penalty": 2.0}),
    ],
)
def test_flags_of_another_search_end_that_of_the_run(run, flags, expected):
    task = task_class("translation").for_planning([])
    task.settings |= run
    assert task.use(WritingFlags(**flags)) == []
    assert expected.items() <= task.settings.items()


def test_flags_that_exclude_one_another_are_refused():
    task = task_class("translation").for_planning([])
    assert "give one of them" in task.use(WritingFlags(num_beams=2, temperature=0.5))[0]
    told = task.use(WritingFlags(num_beams=1, temperature=0.0, sample_top_k=4, length_penalty=2.0))
    assert len(told) == 2


def test_a_template_needs_a_place_for_the_text(tmp_path, tiny_model):
    for template, told in (
        ("Translate!", "must say once where the text goes: write {source} in its place"),
        ("{source} {source}", "must say once where the text goes"),
        ("In {target_language}: {source}", "{target_language}, which is not known: give --target-"),
    ):
        with pytest.raises(UserError, match=re.escape(told)):
            trained(config_of("translation", tiny_model, tmp_path, prompt_template=template))


def test_languages_of_the_sample_are_not_taken_for_those_of_a_folder_named_so(
    tmp_path, tiny_model, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("sample").mkdir()
    file = write_jsonl(Path("sample/train.jsonl"), pair_rows(12))
    changes = {"train_file": file, "test_file": None}
    with ft.start_run(config_of("translation", tiny_model, tmp_path, **changes)) as run:
        data = ft.load_data(run)
    assert data.task.settings["source_language"] is None
    assert "Translate:\nwhere is" in data.tokenizer.decode(data.features["train"].input_ids[:30])


def test_rows_that_cannot_be_read_are_named(tmp_path, tiny_model):
    rows = dialogue_rows(3)
    rows[0]["messages"][1]["role"] = "robot"
    rows[1]["messages"] = rows[1]["messages"][:1]
    rows[2]["references"] = []
    path = write_jsonl(tmp_path / "bad.jsonl", rows)
    with pytest.raises(UserError) as raised:
        trained(config_of("dialogue", tiny_model, tmp_path, train_file=path, test_file=None))
    for told in ("bad.jsonl:1: ", "bad.jsonl:2: ", 'bad.jsonl:3: "references"'):
        assert told in str(raised.value)


def test_a_server_writes_what_predict_writes(tmp_path, tiny_model):
    folder, _ = trained(config_of("translation", tiny_model, tmp_path, max_steps=2))
    texts = ["where is my desk?", "", "where is my lamp 3?"]
    expected = ft.load_predictor(folder)(texts)
    assert expected[0]["written"]
    with serving(*loaded(f"pairs={folder}", models_dir=str(tmp_path / "models"))) as client:
        status, content = client.post("/answers", {"inputs": texts, "models": ["pairs"]})
    assert status == 200 and content["answers"] == {"pairs": expected}


def test_what_a_server_draws_does_not_depend_on_the_other_inputs(tmp_path, tiny_model):
    changes = {"max_steps": 1, "temperature": 3.0}
    folder, _ = trained(config_of("translation", tiny_model, tmp_path, **changes))
    texts = ["where is my lamp 3?", "", "where is my desk?"]
    with serving(*loaded(f"pairs={folder}", models_dir=str(tmp_path / "models"))) as client:
        together, alone = (
            client.post("/answers", {"inputs": inputs, "models": ["pairs"]})[1]["answers"]["pairs"]
            for inputs in (texts, texts[2:])
        )
    assert together[2:] == alone and alone[0]["written"] != together[0]["written"]
