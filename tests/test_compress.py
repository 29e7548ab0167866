"""`lowcost-ft compress --trim-vocabulary`: fewer pieces, the same answers to the given texts."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import call_recipe, flags, text_rows, write_jsonl
from tiny import FAMILY_NAMES, SENTENCES
from tokenizers import Tokenizer
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.compress.heads import check_heads, cut_heads
from lowcost_ft.compress.layers import (
    choose_layers,
    column_importance,
    cut_neurons,
    keep_layers,
    neuron_importance,
)
from lowcost_ft.compress.rows import cut_rows
from lowcost_ft.compress.targets import file_bytes
from lowcost_ft.compress.vocabulary import pieces_to_keep, trimmed
from lowcost_ft.models.families import find_family
from lowcost_ft.models.loading import build_model, load_tokenizer, load_trained
from lowcost_ft.models.merging import merge_adapter
from lowcost_ft.pipeline.comparing import validation_examples
from lowcost_ft.record.run_file import load_run

KINDS = ("bert", "roberta", "xlm-roberta", "deberta-v2", "modernbert", "llama", "gemma")
"""WordPiece, byte-level BPE, Unigram, BPE with bytes as a last resort."""


def encoded(tokenizer, texts):
    return [tokenizer.encode(text).ids for text in texts]


def odd_texts(count, seed=0):
    """Texts of words, parts of words, and characters that no tokenizer here has seen."""
    draw = random.Random(seed)
    words = " ".join(SENTENCES).split()
    texts = []
    for _ in range(count):
        parts = [draw.choice(words) for _ in range(draw.randint(1, 8))]
        parts[0] = parts[0][draw.randint(0, 3) :] + draw.choice(("", "é", "日本", "\u200d", "🙂"))
        texts.append(" ".join(parts))
    return texts


@pytest.mark.parametrize("family", KINDS)
def test_given_texts_are_cut_as_before(family, tiny_model):
    full = load_tokenizer(tiny_model(family)).backend_tokenizer
    content = json.loads(full.to_str())
    texts = odd_texts(40)
    covered, others = texts[:12], texts[12:]
    before = encoded(full, covered)
    keep = pieces_to_keep(content, {one for ids in before for one in ids})
    assert len(keep) < full.get_vocab_size()
    small = Tokenizer.from_str(json.dumps(trimmed(content, keep)))
    assert small.get_vocab_size() == len(keep)
    assert [[keep[one] for one in ids] for ids in encoded(small, covered)] == before
    pieces = full.get_vocab()
    assert {piece: keep[number] for piece, number in small.get_vocab().items()} == {
        piece: pieces[piece] for piece in small.get_vocab()
    }
    # Other texts are still cut, into pieces that give the same characters back.
    unknown = {content["model"].get("unk_token"), "<unk>", "[UNK]"}
    for text in others:
        one, other = full.encode(text), small.encode(text)
        if not unknown & {*one.tokens, *other.tokens}:
            assert full.decode(one.ids) == small.decode(other.ids)


def test_the_chain_of_merges_stays(tiny_model):
    content = json.loads(load_tokenizer(tiny_model("roberta")).backend_tokenizer.to_str())
    vocab = content["model"]["vocab"]
    longest = max(vocab, key=len)
    keep = pieces_to_keep(content, {vocab[longest]})
    small = Tokenizer.from_str(json.dumps(trimmed(content, keep)))
    assert small.encode(longest.replace("Ġ", " "), add_special_tokens=False).tokens == [longest]


def test_ids_below_the_padding_token_stay_where_positions_count_from_it(tiny_model):
    content = json.loads(load_tokenizer(tiny_model("roberta")).backend_tokenizer.to_str())
    assert pieces_to_keep(content, set(), below=30)[:30] == list(range(30))


def test_another_kind_of_tokenizer_is_refused():
    content = {"model": {"type": "WordLevel", "vocab": {"a": 0}}, "added_tokens": []}
    with pytest.raises(ft.UserError, match="only WordPiece, BPE and Unigram"):
        pieces_to_keep(content, {0})


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_family_computes_the_same_with_fewer_rows(family, tiny_model):
    model_id = tiny_model(family)
    model = build_model(model_id, head="sequence", labels=["a", "b"], method="full").model.eval()
    tokenizer = load_tokenizer(model_id)
    model.config.pad_token_id = tokenizer.pad_token_id
    ids = torch.tensor([tokenizer(SENTENCES[0])["input_ids"]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
    rows = model.get_input_embeddings().num_embeddings
    low = (tokenizer.pad_token_id or 0) + 1
    keep = sorted({*range(low), *ids.flatten().tolist(), *range(0, rows, 3)})
    cut_rows(model, keep)
    assert model.config.vocab_size == len(keep) == model.get_input_embeddings().weight.shape[0]
    new = torch.from_numpy(np.searchsorted(keep, ids.numpy()))
    with torch.no_grad():
        assert torch.equal(model(input_ids=new).logits, before)


@pytest.mark.parametrize(("kind", "family"), [("ner", "bert"), ("single", "xlm-roberta")])
def test_a_compressed_run_answers_as_before(
    kind, family, trained_run, small_files, tmp_path, capsys
):
    run = trained_run(kind, family)
    files = [small_files[kind][f"{split}_file"] for split in ("train", "validation")]
    target = tmp_path / "small"
    capsys.readouterr()
    arguments = ["compress", str(run), "--output-dir", str(target), "--json"]
    assert main([*arguments, "--trim-vocabulary", *files]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pieces_after"] < report["pieces_before"]
    assert report["parameters_after"] < report["parameters_before"]
    assert report["drift"]["changed"] == 0
    assert report["tokens_after"] == report["tokens_before"]
    whole, small = ft.load_predictor(run), ft.load_predictor(target)
    examples = whole.read(files[0])
    for one, other in zip(whole.predict(examples), small.predict(examples), strict=True):
        assert {**one, "score": 0, "entities": 0} == {**other, "score": 0, "entities": 0}
        for mine, theirs in zip(one.get("entities", ()), other.get("entities", ()), strict=True):
            assert (mine["start"], mine["end"], mine["label"]) == (
                *(theirs["start"], theirs["end"]),
                theirs["label"],
            )
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
    made = json.loads((target / "run.json").read_text())["compress"]
    pieces = f"- Vocabulary: {made['pieces_after']:,} of {made['pieces_before']:,} pieces"
    assert pieces in (target / "README.md").read_text()
    if kind == "ner":
        model = AutoModelForTokenClassification.from_pretrained(target)
        assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(target))


def test_labels_that_are_nearly_alike_are_no_other_answers(trained_run, small_files, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run("ner", "bert"), run)
    file = run / "adapter_model.safetensors"
    weights, noise = load_file(file), torch.Generator().manual_seed(0)
    for name, weight in weights.items():
        if name.endswith("classifier.weight"):
            # Then rounding decides, as it does for a few words of millions.
            weight[:] = weight[0] + 3e-8 * torch.randn(weight.shape, generator=noise)
        elif name.endswith("classifier.bias"):
            weight.zero_()
    save_file(weights, file, metadata={"format": "pt"})
    words = ["--trim-vocabulary", small_files["ner"]["train_file"], "--max-drift", "1"]
    assert main(["compress", str(run), "--output-dir", str(tmp_path / "out"), *words]) == 0


def test_too_few_texts_leave_nothing(trained_run, tmp_path, capsys):
    run = trained_run("single", "bert")
    (tmp_path / "in").mkdir()
    file = write_jsonl(tmp_path / "in" / "few.jsonl", [{"text": "hello"}])
    target = tmp_path / "out"
    arguments = ["compress", str(run), "--output-dir", str(target), "--trim-vocabulary", file]
    assert main([*arguments, "--max-drift", "0"]) == 2
    error = capsys.readouterr().err
    assert "more than --max-drift 0" in error and "Give --trim-vocabulary more texts" in error
    assert not target.exists()


def test_scores_of_training_rows_are_not_called_validation(trained_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained_run("single", "bert"), run)
    record = json.loads((run / "run.json").read_text())
    record["config"] |= {"validation_file": None, "validation_share": 0}
    (run / "run.json").write_text(json.dumps(record))
    target = tmp_path / "out"
    words = ["--layers", "1", "--no-heal"]
    assert main(["compress", str(run), "--output-dir", str(target), *words]) == 0
    assert list(json.loads((target / "run.json").read_text())["evaluation"]) == ["train"]
    assert "on the train split differ" in capsys.readouterr().err


def test_that_the_data_are_gone_is_told_with_what_to_do(trained_run):
    record = load_run(trained_run("single", "bert"))
    record["config"] |= {"train_file": "data/gone.jsonl"}
    options = {"command": "export", "call": "ft.export_run(...)", "say": print}
    with pytest.raises(ft.UserError) as caught:
        validation_examples(record, None, **options)
    (problem,) = caught.value.problems
    assert problem.startswith("export: answers are compared on the data that the run names")
    assert "data/gone.jsonl: no such file" in problem
    assert "in the folder where the run was trained" in problem and "ft.export_run" in problem


def test_that_the_data_have_changed_is_told(trained_run):
    record, said = load_run(trained_run("single", "bert")), []
    options = {"command": "compress", "call": "", "say": said.append}
    rows, split = validation_examples(record, None, **options)
    assert (len(rows), split, said) == (21, "validation", [])
    record["data"] |= {"fingerprint": "0" * 64}
    validation_examples(record, None, **options)
    assert [text.partition(":")[2].partition(":")[0] for text in said] == [
        " the data of this run have changed since it was trained"
    ]


def test_a_test_file_that_is_gone_is_not_needed(trained_run):
    record, said = load_run(trained_run("single", "bert")), []
    options = {"command": "merge", "call": "", "say": said.append}
    before, _ = validation_examples(record, None, **options)
    assert record["config"]["test_file"] and not said
    record["config"] |= {"test_file": "data/gone.jsonl"}
    after, split = validation_examples(record, None, **options)
    assert (after, split) == (before, "validation")
    (told,) = said
    assert told.startswith("note: data/gone.jsonl, the test file of this run, is not there")


def test_a_file_of_rows_stands_in_for_data_that_are_gone(trained_run, small_files, tmp_path):
    folder = shutil.copytree(trained_run("single", "bert"), tmp_path / "moved")
    record = json.loads((folder / "run.json").read_text())
    record["config"] |= {"train_file": "gone.jsonl", "test_file": "gone.jsonl"}
    (folder / "run.json").write_text(json.dumps(record))
    words = ["merge", str(folder), "--output-dir", str(tmp_path / "merged")]
    assert main(words) == 2
    assert main([*words, "--validation-file", small_files["single"]["test_file"]]) == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()


CUT = [name for name in FAMILY_NAMES if name != "albert"]
"""Families that have weights of their own for each layer."""


def model_and_ids(family, tiny_model):
    model_id = tiny_model(family)
    model = build_model(model_id, head="sequence", labels=["a", "b"], method="full").model.eval()
    tokenizer = load_tokenizer(model_id)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, torch.tensor([tokenizer(SENTENCES[0])["input_ids"]])


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("family", CUT)
def test_layers_and_neurons_that_are_cut_are_gone_and_nothing_else(family, tiny_model, tmp_path):
    model, ids = model_and_ids(family, tiny_model)
    known = find_family(model.config)
    whole = logits_of(model, ids)
    kept = choose_layers(model, known, 2, lambda: logits_of(model, ids))
    assert kept in ([0, 1], [0, 2]) and torch.equal(logits_of(model, ids), whole)
    # The layer goes that moves the logits least.
    moved = {}
    for layers in ([0, 1], [0, 2]):
        put_back = keep_layers(model, known, layers)
        moved[str(layers)] = (logits_of(model, ids) - whole).square().mean()
        put_back()
    assert moved[str(kept)] == min(moved.values())
    keep_layers(model, known, kept)
    importance = neuron_importance(model, known, lambda: logits_of(model, ids))
    assert len(importance) == 2 and len(importance[0]) == 64 and importance[0].min() >= 0
    # What neurons that go would add is taken away first: then they can go.
    for layer, weights in zip(
        model.base_model.get_submodule(known.layers), importance, strict=True
    ):
        out = layer.get_submodule(known.ia3_targets[-1])
        gone = weights.topk(32, largest=False).indices
        with torch.no_grad():
            (out.weight.T if type(out).__name__ != "Conv1D" else out.weight)[gone] = 0.0
    expected = logits_of(model, ids)
    assert cut_neurons(model, known, 0.5, importance) == 32
    torch.testing.assert_close(logits_of(model, ids), expected, atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits_of(reloaded, ids), logits_of(model, ids))


def test_a_run_with_fewer_layers_is_a_model_to_train(
    trained_run, small_files, tmp_path, tiny_model, capsys
):
    run = trained_run("single", "bert")
    target = tmp_path / "small"
    capsys.readouterr()
    files = [small_files["single"]["train_file"]]
    arguments = ["compress", str(run), "--output-dir", str(target), "--trim-vocabulary", *files]
    assert main([*arguments, "--layers", "2", "--ffn", "0.5", "--no-heal"]) == 0
    printed = capsys.readouterr()
    assert "train the model again" in printed.out and "layers that stay: 0, " in printed.err
    record = json.loads((target / "run.json").read_text())
    assert record["compress"]["neurons"] == 32 and len(record["compress"]["layers"]) == 2
    card = (target / "README.md").read_text()
    assert "\n# small\n" in card and "\n- name: small\n" in card
    layers = ", ".join(map(str, record["compress"]["layers"]))
    for line in (
        f"Layers that stay: {layers}, counted from 0",
        "Neurons of each feed-forward: 32",
        "Not trained again since the cut: train it before you use it",
    ):
        assert f"\n- {line}\n" in card
    assert "There was no test split" not in card
    # Why scores are no probabilities any more is told as it is.
    assert record["calibration"]["reason"] == "the model was cut since"
    score = record["compress"]["drift"]["score_after"]
    assert record["evaluation"]["validation"]["accuracy"] == score
    found = ft.load_predictor(target).evaluate(small_files["single"]["validation_file"])
    assert found["accuracy"] == pytest.approx(score)
    # Compressed once more, it is still a model that was cut.
    more = ["compress", str(target), "--output-dir", str(tmp_path / "more"), "--trim-vocabulary"]
    assert main([*more, *files, "--max-drift", "1"]) == 0
    assert "distillation recipe" not in (printed := capsys.readouterr().out)
    assert "train the model again" in printed
    made = json.loads((tmp_path / "more" / "run.json").read_text())["compress"]
    assert made["to_train"] and made["earlier"]["layers"] == record["compress"]["layers"]
    card = (tmp_path / "more" / "README.md").read_text()
    assert 0 < card.index(f"- Layers that stay: {layers}") < card.index("Then, compressed again:")
    again = tmp_path / "again"
    values = {"model_id": target, "output_dir": again, "method": "full", "max_steps": 2}
    values |= {"max_length": 48, **small_files["single"]}
    assert call_recipe("lora_classification", *flags(**values)) == 0
    assert "head" in json.dumps(json.loads((again / "run.json").read_text()))
    albert = trained_run("single", "albert", epochs=1)
    assert (
        main(["compress", str(albert), "--output-dir", str(tmp_path / "x"), "--layers", "1"]) == 2
    )
    assert "--layers: ALBERT has one set of weights for all layers" in capsys.readouterr().err
    words = ["--output-dir", str(tmp_path / "x"), "--target-latency", "1ms", "--no-heal"]
    assert main(["compress", str(albert), *words]) == 2
    assert "--target-latency: ALBERT has one set" in capsys.readouterr().err


def test_a_target_chooses_the_cut_that_moves_the_logits_least(trained_run, tmp_path, capsys):
    run = trained_run("single", "bert")
    capsys.readouterr()
    arguments = ["compress", str(run), "--output-dir", str(tmp_path / "small"), "--json"]
    arguments.append("--no-heal")
    whole = load_trained(run, json.loads((run / "run.json").read_text()))
    size = sum(p.numel() for p in merge_adapter(whole).parameters()) * 4
    target = ("--target-size", f"{0.7 * size / 1e3:.0f}KB", "--target-latency", "10s")
    assert main([*arguments, *target]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["to_train"] and 4 * report["parameters_after"] <= 0.7 * size
    assert "tokens (95th percentile, 1 thread)" in printed.err
    latency = report["latency"]
    assert 0 < latency["seconds"] < 10 and latency["tokens"] > 0
    assert (latency["percentile"], latency["threads"]) == (95, 1)
    arguments[3] = str(tmp_path / "other")
    assert main([*arguments, "--target-size", "1KB"]) == 2
    error = capsys.readouterr().err
    assert "--target-size: with 1 layer and 25% of the neurons the weights still take" in error
    assert " MB: cut those with --trim-vocabulary" in error
    assert main([*arguments, "--target-size", "1KB", "--layers", "2"]) == 2
    error = capsys.readouterr().err
    assert "with 2 layers and 25%" in error and "leave --layers out, so that deeper" in error
    assert main([*arguments, "--target-latency", "0.0001ms"]) == 2
    # Which cut is the fastest was measured: on a machine with other work it may be any.
    assert "--target-latency: the fastest, with " in capsys.readouterr().err
    assert main([*arguments, "--target-latency", "soon"]) == 2
    assert "'soon' is not a time, such as 5ms" in capsys.readouterr().err
    # What the whole model reaches is left whole.
    assert main([*arguments, "--target-size", "1GB"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layers"] is None and report["drift"]["changed"] == 0
    assert not report["to_train"] and report["latency"] is None
    # The size is that of the file, which holds more than the weights.
    whole = report["bytes_after"]
    assert whole == (tmp_path / "other" / "model.safetensors").stat().st_size
    arguments[3] = str(tmp_path / "third")
    assert main([*arguments, "--target-size", f"{whole - 1}B"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes_after"] < whole


@pytest.mark.parametrize("family", ("bert", "gpt2", "deberta-v2"))
def test_the_size_of_the_file_is_known_before_it_is_written(family, tiny_model, tmp_path):
    model, _ = model_and_ids(family, tiny_model)
    model.save_pretrained(tmp_path)
    assert file_bytes(model) == (tmp_path / "model.safetensors").stat().st_size


def test_what_is_wrong_is_told(trained_run, tmp_path, capsys):
    run, target = trained_run("single", "bert"), tmp_path / "out"
    writes = tmp_path / "writes"
    writes.mkdir()
    record = json.loads((run / "run.json").read_text()) | {"task": "translation"}
    (writes / "run.json").write_text(json.dumps(record))
    arguments = ["compress", str(writes), "--output-dir", str(target), "--layers", "1"]
    assert main(arguments) == 2
    assert "only tasks that predict in one pass" in capsys.readouterr().err
    arguments = ["compress", str(run), "--output-dir", str(target)]
    assert main(arguments) == 2
    assert "give --trim-vocabulary (the files" in capsys.readouterr().err
    # What stands in the way is told before a model is loaded, by each command that makes one.
    taken = ["--output-dir", str(trained_run("ner", "bert"))]
    for words in (["compress", "--layers", "1"], ["export"], ["merge"]):
        assert main([words[0], str(run), *words[1:], *taken]) == 2
        error = capsys.readouterr().err
        assert "already holds a run" in error and "loading" not in error
    for words in (["--layers", "3"], ["--layers", "0"], ["--ffn", "1.5"]):
        assert main([*arguments, *words]) == 2
        error = capsys.readouterr().err
        assert "give a number from 1 to 2" in error or "give a number between 0 and 1" in error
    assert main([*arguments, "--ffn", "0.99"]) == 2
    assert "--ffn 0.99: of 64 neurons that leaves all" in capsys.readouterr().err
    assert main([*arguments, "--layers", "2", "--max-drift", "0"]) == 2
    assert "--max-drift bounds what a trimmed vocabulary changes" in capsys.readouterr().err
    file = write_jsonl(tmp_path / "texts.jsonl", text_rows(3))
    assert main([*arguments, "--trim-vocabulary", file, "--max-drift", "7"]) == 2
    assert "is not a share" in capsys.readouterr().err
    assert main([*arguments, "--trim-vocabulary", str(tmp_path / "none.jsonl")]) == 2
    assert "--trim-vocabulary: " in (error := capsys.readouterr().err) and "none.jsonl" in error
    (tmp_path / "two.csv").write_text("a,b\nhello you,hello me\nwhere is it,it is here\n")
    for words in (["--trim-vocabulary"], ["--layers", "1", "--unlabelled-file"]):
        assert main([*arguments, *words, str(tmp_path / "two.csv")]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert f"error: {words[-1]}: " in error and "compress has no such flag" in error
    assert main([*arguments, "--trim-vocabulary", file, "--unlabelled-file", file]) == 2
    assert "--unlabelled-file is for healing" in capsys.readouterr().err
    assert not target.exists()


SEPARATE = ("llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
"""Families that keep the size of a head apart from the width."""


@pytest.mark.parametrize("family", SEPARATE)
def test_heads_that_are_cut_are_gone_and_nothing_else(family, tiny_model, tmp_path):
    model, ids = model_and_ids(family, tiny_model)
    known = find_family(model.config)
    size = model.base_model.get_submodule(known.layers)[0].self_attn.head_dim
    count = check_heads(model, known, 0.5)
    assert count == 1  # Of two groups of two heads each.
    outs = [
        layer.get_submodule(known.attention[-1])
        for layer in model.base_model.get_submodule(known.layers)
    ]
    importance = column_importance(outs, lambda: logits_of(model, ids))
    # What heads that go would add is taken away first: then they can go.
    for out, weights in zip(outs, importance, strict=True):
        gone = int(weights.reshape(2, -1).sum(1).argmin())
        with torch.no_grad():
            out.weight[:, gone * 2 * size : (gone + 1) * 2 * size] = 0.0
    expected = logits_of(model, ids)
    assert cut_heads(model, known, count, lambda: logits_of(model, ids)) == 2
    torch.testing.assert_close(logits_of(model, ids), expected, atol=1e-5, rtol=1e-5)
    assert (model.config.num_attention_heads, model.config.num_key_value_heads) == (2, 1)
    # Of the only group, heads go by themselves.
    assert cut_heads(model, known, 1, lambda: logits_of(model, ids)) == 1
    model.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits_of(reloaded, ids), logits_of(model, ids))


def test_heads_that_cannot_go_are_refused(tiny_model):
    model, _ = model_and_ids("bert", tiny_model)
    with pytest.raises(ft.UserError, match="heads are cut in Llama, Qwen2, Qwen3, Gemma"):
        check_heads(model, find_family(model.config), 0.5)
    model, _ = model_and_ids("llama", tiny_model)
    with pytest.raises(ft.UserError, match="what can stay is 1 "):
        check_heads(model, find_family(model.config), 0.9)
