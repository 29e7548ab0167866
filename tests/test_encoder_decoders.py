"""Encoder-decoders: trained, planned, resumed, saved, used and merged as decoders are."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import dialogue_rows, pair_rows, same_weights, trained, write_jsonl
from tiny import ENCODER_DECODERS, SENTENCES, make_tiny
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, AutoModelForSeq2SeqLM

import lowcost_ft as ft
from lowcost_ft.data.batching import share_step
from lowcost_ft.data.feature_cache import feature_key
from lowcost_ft.data.features import IGNORED_LABEL, collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.encoder_part import lower_part
from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.families import find_family
from lowcost_ft.models.generation.published import generation_config
from lowcost_ft.models.generation.writing import start_token
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.loading import forward_module
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.source_and_target import (
    SourceAndTarget,
    keep_blanks,
    settle_languages,
    target_code,
)
from lowcost_ft.training.passes import Passes
from lowcost_ft.training.setup import build_accelerator

LIMITS = {"max_steps": 4, "batch_size": 4, "max_length": 32, "max_target_length": 12}
LIMITS |= {"learning_rate": 1e-2, "generated_validation_rows": 2, "dropout": 0.0}


def config_of(tiny_model, tmp_path, family="t5", task="translation", **changes):
    rows = dialogue_rows if task == "dialogue" else pair_rows
    files = {
        "train_file": write_jsonl(tmp_path / "train.jsonl", rows(20)),
        "test_file": write_jsonl(tmp_path / "test.jsonl", rows(4, 1)),
    }
    values = {"output_dir": str(tmp_path / "run")} | LIMITS | files | changes
    return ft.RunConfig(task=task, model_id=tiny_model(family), **values)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_the_loss_is_that_of_the_models_own_logits(tmp_path, tiny_model, family):
    config = config_of(tiny_model, tmp_path, family)
    with ft.start_run(config) as run:
        data = ft.load_data(run)
    features, rows = data.features["train"], np.arange(5)
    batch = collate(features, rows, pad_token_id=data.pad_token_id)
    model = AutoModelForSeq2SeqLM.from_pretrained(config.model_id).eval()
    if hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_()
    outputs = data.task.forward(model, model_inputs(batch, features))
    loss = data.task.loss(outputs, batch)
    expected = torch.zeros(())
    for example in data.splits.train[:5]:
        source = data.tokenizer(data.task.fill(example.text), return_tensors="pt")
        labels = data.tokenizer(text_target=example.target, return_tensors="pt")["input_ids"]
        start = torch.tensor([[model.config.decoder_start_token_id]])
        logits = model(**source, decoder_input_ids=torch.cat([start, labels[:, :-1]], 1)).logits
        expected += F.cross_entropy(logits[0].float(), labels[0], reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    scored = data.task.decode_batch(outputs, batch)
    assert scored["target_tokens"].tolist() == [int(n) - 1 for n in features.weights[:5]]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_run_is_planned_trained_saved_used_and_merged(
    tmp_path, tiny_model, family, monkeypatch, capsys
):
    folder, record = trained(config_of(tiny_model, tmp_path, family))
    planned, measured = (record["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.01, abs=6000)
    assert record["evaluation"]["test"]["written"] == 4
    predictor = ft.load_predictor(folder)
    answer = predictor(["where is my desk?"])[0]["written"]
    report = ft.merge_run(folder, tmp_path / "merged", max_drift=1.0)
    assert report.parity_gap < 1e-4
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "merged").eval()
    inputs = predictor.tokenizer("where is my desk?", return_tensors="pt")
    with torch.inference_mode():
        written = model.generate(**inputs)  # The folder says how the run writes.
    assert predictor.tokenizer.decode(written[0], skip_special_tokens=True).strip() == answer
    sample = predictor([type(predictor.task).sample_text])[0]["written"]
    for where, loader in ((folder, "AutoPeft"), (tmp_path / "merged", "Auto")):
        card = (where / "README.md").read_text("utf-8")
        assert "text2text-generation" in card and "head" not in card
        code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
        assert f"{loader}ModelForSeq2SeqLM.from_pretrained" in code
        monkeypatch.chdir(where)
        capsys.readouterr()
        exec(compile(code, "README.md", "exec"), {})
        assert capsys.readouterr().out.strip() == sample


@pytest.mark.parametrize("family", ["t5", "marian"])
def test_a_long_text_loses_its_end_and_the_template_does_not(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family), slow=True)
    texts = [" ".join(SENTENCES[:count]) for count in (1, 9)]
    examples = [WritingExample(turns=(("user", t),), target="a", source="x") for t in texts]
    encoding = SourceAndTarget(
        tokenizer=tokenizer,
        fill=lambda text: f"My name is {text} Please send the money.",
        start=0,
        max_length=48,
        max_target_length=8,
    )
    short, long = encoding.encode(examples)
    assert not short.cuts and long.cuts == {"inputs"}
    assert 40 < long.prompt_tokens <= 48
    ends = [encoded.ids[: encoded.prompt_tokens][-5:] for encoded in (short, long)]
    assert ends[0] == ends[1]
    assert short.ids[:12] == long.ids[:12]
    with pytest.raises(UserError, match="--max-length 8 leaves no room for the text beside the"):
        replace(encoding, max_length=8).encode(examples)


@pytest.mark.parametrize("end", [" Answer:", "\n\nSummary:", "?"])
@pytest.mark.parametrize("family", ["t5", "bart", "gpt2"])
def test_where_a_long_text_ends_is_found_by_few_tokenizations(tiny_model, family, end, monkeypatch):
    tokenizer = load_tokenizer(tiny_model(family), slow=True)
    encoding = SourceAndTarget(
        tokenizer=tokenizer,
        fill=lambda text: f"Sum: {text}{end}",
        start=0,
        max_length=40,
        max_target_length=8,
    )
    asked = []
    own = type(tokenizer).__call__
    monkeypatch.setattr(
        type(tokenizer), "__call__", lambda *args, **more: asked.append(1) or own(*args, **more)
    )
    said = "where is the desk , chair ? naïve 漢字 かな 😀👩‍👧 ﬁne İstanbul Straße"
    words = [*said.split(), "\t", "\n"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, 60)).strip() for _ in range(12)]
    blank = encoding._ids([encoding.fill("")])[0]
    counts = []
    for text in texts:
        asked.clear()
        found = encoding._without_end(text, blank)
        counts.append(len(asked))
        # One after another, where the search goes up and down.
        fits, too_many = 0, len(text)
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            ids = encoding._ids([encoding.fill(text[:middle].rstrip())])[0]
            fits, too_many = (middle, too_many) if len(ids) <= 40 else (fits, middle)
        halved = encoding._ids([encoding.fill(text[:fits].rstrip())])[0]
        # Inside a word a longer text can have fewer tokens: then more of the word is kept.
        assert found == halved or len(tokenizer.decode(found)) > len(tokenizer.decode(halved))
        assert len(found) <= 40
    assert np.median(counts) <= 3 and max(counts) <= 9


def test_blanks_before_a_question_mark_are_kept(tiny_model):
    for family in ("t5", "llama"):
        tokenizer = load_tokenizer(tiny_model(family))
        tokenizer.clean_up_tokenization_spaces = True  # As in many published folders.
        keep_blanks(tokenizer)
        ids = tokenizer("Where is my parcel ?")["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == "Where is my parcel ?"
    tokenizer = load_tokenizer(tiny_model("bert"))
    tokenizer.clean_up_tokenization_spaces = True
    keep_blanks(tokenizer)  # It forgets where blanks were.
    ids = tokenizer("where is my parcel?")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "where is my parcel?"


def test_memory_is_predicted_where_t5s_bias_trains(tmp_path, tiny_model):
    # It is added to the scores of attention, and the fused kernel takes no mask with a gradient.
    _, record = trained(config_of(tiny_model, tmp_path, method="full", batch_size=20))
    planned, measured = (record["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.01, abs=6000)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_dropout_takes_the_same_out_of_a_row_however_a_step_is_cut(tmp_path, tiny_model, family):
    config = config_of(tiny_model, tmp_path, family, dropout=0.1, method="full")
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        model = forward_module(ft.build(run, data).model.model).double().train()
    for again in (False, True):
        if again:
            model.gradient_checkpointing_enable()
        passes = Passes(
            build_accelerator(), model, data.task, data.features["train"], pad_token_id=0
        )
        gradients = []
        for cuts, number in ((1, 1), (2, 1), (8, 1), (1, 2)):
            rows = np.arange(8)
            (share,) = share_step(rows, passes.features.lengths, num_micro_batches=cuts)
            passes.backward(share, 50.0, number=number)
            found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
            gradients.append(torch.cat(found))
            model.zero_grad()
        whole, *others, next_step = gradients
        for other in others:
            assert (other - whole).norm() / whole.norm() < 1e-10
        assert (next_step - whole).norm() / whole.norm() > 1e-2


@pytest.mark.parametrize("task", ["classification", "ner", "question_answering"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_what_only_reads_is_not_trained(tiny_model, family, task):
    with pytest.raises(UserError, match="is an encoder-decoder, which is trained here to write"):
        load_base_model(
            tiny_model(family), head=task_class(task).head, labels=["a", "b"], on_meta=True
        )


def test_pieces_resume_and_top_layers_keep_their_promises(tmp_path, tiny_model, monkeypatch):
    plain = {"trainable_layers": 1, "checkpoint_every_steps": 2, "generated_validation_rows": 0}
    folder, _ = trained(config_of(tiny_model, tmp_path, **plain))
    names = load_file(folder / "adapter_model.safetensors")
    assert all(".decoder.block.2." in name for name in names)
    out = {"output_dir": str(tmp_path / "pieces"), "gradient_accumulation_steps": 4}
    other, _ = trained(config_of(tiny_model, tmp_path, **plain, **out))
    assert same_weights(folder, other)
    stopped = plain | {"output_dir": str(tmp_path / "stopped")}

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(task_class("translation"), "score", stop)
        trained(config_of(tiny_model, tmp_path, **stopped))
    again, _ = trained(config_of(tiny_model, tmp_path, **stopped, resume=True))
    assert same_weights(folder, again, tolerance=0)


@pytest.mark.parametrize("family", ["t5", "m2m_100"])
def test_a_run_from_the_encoders_kept_output_trains_the_same(tmp_path, tiny_model, family):
    kept = {"cache_frozen_layers": True, "cache_dir": str(tmp_path / "cache")}
    runs = [
        trained(
            config_of(
                tiny_model,
                tmp_path,
                family,
                trainable_layers=1,
                learning_rate=1e-3,
                **changes,
                output_dir=str(tmp_path / name),
            )
        )
        for name, changes in (("plain", {}), ("kept", kept))
    ]
    first, second = (load_file(folder / "adapter_model.safetensors") for folder, _ in runs)
    for name, weight in first.items():  # Adam turns rounding of a zero gradient into a step.
        assert (weight - second[name]).abs().mean() < 1e-6, name
    plain, cached = (record for _, record in runs)
    planned, measured = (cached["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", ""))
    assert planned == pytest.approx(measured, rel=0.01, abs=6000)
    with ft.start_run(
        config_of(tiny_model, tmp_path, family, output_dir=str(tmp_path / "x"))
    ) as run:
        data = ft.load_data(run)
    # Sources alone are kept, of which no target is read again.
    splits = [data.features[name] for name in ("train", "validation")]
    sources = sum(int(split["prompt_tokens"].sum()) for split in splits)
    hidden = load_config(tiny_model(family)).hidden_size
    assert cached["train"]["cache_bytes"] == 4 * hidden * sources
    # Texts are written by the whole model, in whose place the encoder's output had been.
    for name in ("perplexity", "chrf", "written"):
        scores = [record["evaluation"]["test"][name] for record in (plain, cached)]
        assert scores[0] == pytest.approx(scores[1], rel=1e-4)


@pytest.mark.parametrize("family", ["t5", "bart", "m2m_100"])
def test_a_kept_encoder_leaves_with_what_is_its_own(tiny_model, family):
    model = AutoModelForSeq2SeqLM.from_pretrained(tiny_model(family)).eval()
    part = lower_part(model, find_family(model.config), 1)
    embeddings = model.get_input_embeddings().weight
    assert all(weight is not embeddings for weight in part.tensors())
    assert {id(w) for w in part.tensors()} | {id(embeddings)} == {
        id(w) for w in (*model.get_encoder().parameters(), *model.get_encoder().buffers())
    }
    ids = torch.randint(3, 200, (2, 12))
    mask = (torch.arange(7) < torch.tensor([[5], [7]])).long()
    states = part.run({"input_ids": ids[:, :7], "attention_mask": mask})
    assert states.shape[:2] == (2, 7) and not states[0, 5:].any()
    alone = model.get_encoder()(input_ids=ids[:1, :5]).last_hidden_state
    assert torch.allclose(states[:1, :5], alone, atol=1e-5)
    inputs = {"input_ids": ids[:, :7], "decoder_input_ids": ids[:, 7:]}
    inputs["attention_mask"] = mask
    expected = model(**inputs).logits
    with part.taken_out(), part.entering(states):
        assert torch.allclose(model(**inputs).logits, expected, atol=1e-4)
        with part.put_back():
            assert torch.equal(model(**inputs).logits, expected)
    assert torch.equal(model(**inputs).logits, expected)
    with pytest.raises(UserError, match=r"stream_frozen_layers: .* read the encoder's output"):
        LowerPart(model, find_family(model.config), 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": "dialogue"}, "dialogues are learned with decoders"),
        ({"family": "bert"}, "does not write texts"),
        ({"family": "bart", "max_target_length": 131}, "more than the 130 tokens that"),
        ({"chat_template": "plain"}, "--chat-template is for decoders"),
        ({"method": "prefix"}, "puts vectors in front"),
        ({"adversarial": "freelb"}, "is an encoder-decoder, which reads a source"),
        ({"family": "marian", "adversarial": "fgm", "trainable_layers": 1}, "encoder-decoder"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path, tiny_model, changes, told):
    with pytest.raises(UserError, match=told):
        trained(config_of(tiny_model, tmp_path, **changes))


def test_a_target_may_be_longer_where_the_model_makes_more_positions(tmp_path, tiny_model):
    for family in ("m2m_100", "t5"):
        changes = {"max_target_length": 131, "output_dir": str(tmp_path / family)}
        with ft.start_run(config_of(tiny_model, tmp_path, family, **changes)) as run:
            ft.load_data(run)


def test_a_source_loses_its_end_whatever_the_tokenizers_folder_says(tmp_path):
    folder = Path(make_tiny("t5", tmp_path / "model"))
    saved = folder / "tokenizer_config.json"
    saved.write_text(json.dumps(json.loads(saved.read_text()) | {"truncation_side": "left"}))
    with ft.start_run(config_of(lambda _: str(folder), tmp_path, max_length=8)) as run:
        data = ft.load_data(run)
    whole = data.tokenizer(data.splits.train[0].text)["input_ids"]
    assert len(whole) > 8
    assert data.features["train"].input_ids[:8].tolist() == [*whole[:7], whole[-1]]


def test_t5s_prefix_stands_in_front_of_each_source(tmp_path):
    known = {"translation_en_to_fr": {"prefix": "translate English to French: "}}
    known["summarization"] = {"prefix": "summarize: "}
    path = make_tiny("t5", tmp_path / "t5", task_specific_params=known)
    languages = {"source_language": "en", "target_language": "fr_XX"}
    for task, more, prefix in (
        ("translation", languages, "translate English to French: "),
        ("translation", {"prompt_template": "En: {source}"}, "En: "),
        ("summarization", {}, "summarize: "),
    ):
        out = {"output_dir": str(tmp_path / prefix[:3])}
        with ft.start_run(config_of(lambda _: path, tmp_path, task=task, **more, **out)) as run:
            data = ft.load_data(run)
        row = data.features["train"]
        source = data.tokenizer(prefix + data.splits.train[0].text)["input_ids"]
        assert row.input_ids[: int(row["prompt_tokens"][0])].tolist() == source


def test_sources_and_targets_lose_their_ends(tmp_path, tiny_model):
    config = config_of(tiny_model, tmp_path, max_length=8, max_target_length=2)
    with ft.start_run(config) as run:
        data = ft.load_data(run)
    features = data.features["train"]
    assert (features["prompt_tokens"] == 8).all() and (features.weights == 2).all()
    ends = features.input_ids[features.starts[:-1] + 7]
    assert (ends == data.tokenizer.eos_token_id).all()
    learned = features["targets"][features["targets"] != IGNORED_LABEL]
    assert data.tokenizer.eos_token_id not in learned
    told = data.task.cut_notice("train", 18, features, max_length=8, end="end")
    assert told == (
        "train: of 18 examples, 18 inputs lose their end (--max-length 8); "
        "18 targets lose their end (--max-target-length 2)"
    )


def test_tokens_are_not_those_of_a_model_whose_decoder_begins_otherwise(tmp_path):
    keys = set()
    for start in (0, 3):
        path = make_tiny("t5", tmp_path / str(start), decoder_start_token_id=start)
        changes = {"output_dir": str(tmp_path / f"run{start}")}
        with ft.start_run(config_of(lambda _, path=path: path, tmp_path, **changes)) as run:
            data = ft.load_data(run)
        row = data.features["train"]
        assert row.input_ids[int(row["prompt_tokens"][0])] == start
        keys.add(feature_key(data.task, data.splits.train, data.tokenizer, max_length=32))
    assert len(keys) == 2


def test_texts_begin_with_the_token_that_was_trained(tmp_path):
    folder = Path(make_tiny("t5", tmp_path / "model"))
    saved = folder / "generation_config.json"
    saved.write_text(json.dumps({"bos_token_id": 3, "eos_token_id": 1, "pad_token_id": 0}))
    with ft.start_run(config_of(lambda _: str(folder), tmp_path)) as run:
        task = ft.load_data(run).task
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert start_token(model, task.generation()) == model.config.decoder_start_token_id == 0
    assert generation_config(model, task.generation()).decoder_start_token_id == 0


def test_a_family_that_is_not_in_the_table_writes(tmp_path, tiny_model):
    tokenizer = load_tokenizer(tiny_model("t5"))
    config = AutoConfig.for_model(
        "umt5",
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    folder = str(tmp_path / "umt5")
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    changes = {"target_modules": "all-linear", "max_steps": 1}
    _, record = trained(config_of(lambda _: folder, tmp_path, **changes))
    assert record["evaluation"]["test"]["written"] == 4


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A tiny Marian with a tokenizer as published: two models of sentencepiece alone."""
    import sentencepiece
    from transformers import MarianTokenizer

    folder = tmp_path_factory.mktemp("marian")
    pieces = {"</s>": 0, "<unk>": 1}
    for side in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES),
            model_prefix=str(folder / side),
            vocab_size=150,
            bos_id=-1,
            minloglevel=2,
        )
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.spm"))
        for number in range(model.get_piece_size()):
            pieces.setdefault(model.id_to_piece(number), len(pieces))
    pieces |= {"<pad>": len(pieces), ">>deu<<": len(pieces) + 1, ">>fra<<": len(pieces) + 2}
    vocab = folder / "vocab.json"
    vocab.write_text(json.dumps(pieces))
    tokenizer = MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(vocab),
    )
    path = make_tiny("marian", folder / "model", tokenizer=tokenizer)
    return path


def test_marian_with_its_own_tokenizer(tmp_path, marian, capsys):
    config = config_of(lambda _: marian, tmp_path, max_steps=2, target_language="fr")
    with ft.start_run(replace(config, output_dir=str(tmp_path / "untold"))) as run:
        ft.load_data(run)
    told = "no text begins with the code of one"
    found = "".join(capsys.readouterr())
    assert told in found and "--prompt-template '>>fra<< {source}'" in found
    folder, record = trained(replace(config, prompt_template=">>fra<< {source}"))
    assert told not in "".join(capsys.readouterr())
    assert not (folder / "tokenizer.json").exists() and (folder / "source.spm").is_file()
    again = ft.load_predictor(folder).evaluate(str(tmp_path / "test.jsonl"))
    assert again["chrf"] == pytest.approx(record["evaluation"]["test"]["chrf"])


def test_languages_become_codes(tmp_path):
    from transformers import NllbTokenizer

    letters = sorted({letter for sentence in SENTENCES for letter in sentence} | {"▁"})
    vocab = {piece: n for n, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    codes = ["eng_Latn", "fra_Latn"]
    tokenizer = NllbTokenizer(vocab=vocab, merges=[], extra_special_tokens=codes)
    path = make_tiny("m2m_100", tmp_path / "model", tokenizer=tokenizer)
    languages = {"source_language": "eng_Latn", "target_language": "fra_Latn"}
    with ft.start_run(config_of(lambda _: path, tmp_path, **languages)) as run:
        data = ft.load_data(run)
    code = data.tokenizer.convert_tokens_to_ids("fra_Latn")
    assert data.task.generation().first_token_id == code
    row = data.features["train"]
    source = int(row["prompt_tokens"][0])
    english = data.tokenizer.convert_tokens_to_ids("eng_Latn")
    assert row.input_ids[0] == english and row["targets"][source] == code
    model = AutoModelForSeq2SeqLM.from_pretrained(path).eval()
    batch = collate(row, np.arange(5), pad_token_id=data.pad_token_id)
    scored = data.task.decode_batch(data.task.forward(model, model_inputs(batch, row)), batch)
    # All but the code, which is given; the end is cut off.
    assert scored["target_tokens"].tolist() == [int(n) - 1 for n in row.weights[:5]]
    other = config_of(lambda _: path, tmp_path, output_dir=str(tmp_path / "other"))
    with pytest.raises(UserError, match="--source-language is needed"), ft.start_run(other) as run:
        ft.load_data(run)
    languages |= {"target_language": "fr", "output_dir": str(tmp_path / "third")}
    config = config_of(lambda _: path, tmp_path, **languages)
    with pytest.raises(UserError, match="give fra_Latn"), ft.start_run(config) as run:
        ft.load_data(run)


def test_the_decoder_of_the_first_mbart_begins_with_the_language(tmp_path):
    from transformers import MBartTokenizer

    letters = sorted({letter for sentence in SENTENCES for letter in sentence} - {" "})
    whole = ["<s>", "<pad>", "</s>", "<unk>", "▁", *letters, "en_XX", "fr_XX", "<mask>"]
    tokenizer = MBartTokenizer(vocab=[(piece, -1.0) for piece in whole])
    # As published for pretraining, which names no language.
    path = make_tiny("mbart", tmp_path / "m", tokenizer=tokenizer, decoder_start_token_id=None)
    changes = {"source_language": "en_XX", "target_language": "fr_XX", "max_target_length": 40}
    with ft.start_run(config_of(lambda _: path, tmp_path, **changes)) as run:
        data = ft.load_data(run)
    code = data.tokenizer.convert_tokens_to_ids("fr_XX")
    settings, row = data.task.generation(), data.features["train"]
    assert (settings.first_token_id, settings.start_token_id) == (None, code)
    assert row.input_ids[int(row["prompt_tokens"][0])] == code
    assert code not in row["targets"] and data.tokenizer.eos_token_id in row["targets"]
    model = AutoModelForSeq2SeqLM.from_pretrained(path)
    assert start_token(model, settings) == code
    assert generation_config(model, settings).decoder_start_token_id == code


def test_m2m100_has_names_of_languages_and_tokens_for_them(marian):
    from transformers import M2M100Tokenizer

    folder = Path(marian).parent
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "source.spm"))
    settings = {"source_language": "en", "target_language": "fr"}
    assert settle_languages(tokenizer, settings, "m2m") == ["en", "fr"]
    assert target_code(tokenizer) == (tokenizer.get_lang_id("fr"), None)
    assert tokenizer("a")["input_ids"][0] == tokenizer.get_lang_id("en")
    with pytest.raises(
        UserError, match="--target-language fra is not a language of 'm2m': give fr"
    ):
        settle_languages(tokenizer, settings | {"target_language": "fra"}, "m2m")


def test_layers_that_are_never_quantized_are_planned_as_such(tiny_model):
    built = ft.build_model(tiny_model("t5"), head="causal_lm", labels=[], quantization="nf4")
    kept = [name for name in built.unquantized_modules if name.endswith(".wo")]
    assert len(kept) == 6 and "decoder.block.0.layer.0.SelfAttention.q" in dict(
        built.model.get_base_model().named_modules()
    )
    on_meta = ft.build_model(
        tiny_model("t5"), head="causal_lm", labels=[], quantization="nf4", on_meta=True
    )
    assert set(on_meta.unquantized_modules) == set(built.unquantized_modules)
