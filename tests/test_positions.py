"""Families that are not in the table, beyond their positions; tokens without an embedding."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import call_recipe, flags, text_rows, write_jsonl
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModel, AutoTokenizer

from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.models.families import find_family
from lowcost_ft.models.positions import TextLimits, model_on_meta, position_limit, text_limits
from lowcost_ft.pipeline.load_predictor import load_predictor

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
SMALL |= {"intermediate_size": 64, "max_position_embeddings": 40, "pad_token_id": 1}
UNKNOWN = {
    "mpnet": {},
    "camembert": {},
    "megatron-bert": {},
    "roberta-prelayernorm": {},
    "nystromformer": {},
    "roformer": {"embedding_size": 32},
    "ibert": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "ctrl": {"n_positions": 40, "n_embd": 32, "dff": 64, "n_layer": 2, "n_head": 4},
    "mistral": {"num_key_value_heads": 4, "head_dim": 8},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_longest_input_of_an_unknown_family_is_the_longest_that_runs(name):
    config = AutoConfig.for_model(name, **(SMALL | UNKNOWN[name]))
    assert find_family(config) is None
    empty = model_on_meta(config, head="sequence")
    longest = None if empty is None else position_limit(empty)
    model = AutoModel.from_config(config).eval()
    assert position_limit(model) == longest

    def run(length):
        ids = torch.full((1, length), 5)
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=torch.ones_like(ids))

    for head in ("token", "question_answering", "causal_lm"):
        assert text_limits(config, head=head).read in (longest, None)
    if name in ("opt", "mistral"):
        assert text_limits(config, head="causal_lm") == TextLimits(longest, longest)
    if name == "mistral":
        assert longest is None
        run(80)
        return
    assert longest in (38, 40)
    run(longest)
    with pytest.raises((IndexError, RuntimeError)):
        run(longest + 1)


def test_an_encoder_may_have_more_positions_than_its_decoder():
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": 60}
    sizes |= {"max_encoder_position_embeddings": 512, "max_decoder_position_embeddings": 64}
    config = AutoConfig.for_model("led", **sizes)
    assert text_limits(config, head="causal_lm") == TextLimits(read=512, written=64)


@pytest.fixture
def mpnet(tiny_model, tmp_path):
    """The folder of an MPNet of 40 positions, of which a text may use 38."""
    folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / "mpnet"))
    tokens = json.loads((folder / "tokenizer_config.json").read_text())
    tokens["tokenizer_class"] = "PreTrainedTokenizerFast"
    tokens["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    size = len(AutoTokenizer.from_pretrained(folder))
    config = AutoConfig.for_model("mpnet", **(SMALL | {"vocab_size": size}))
    AutoModel.from_config(config).save_pretrained(folder)
    return folder


def arguments(tmp_path, folder, **more):
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(60))
    values = {"model_id": folder, "train_file": file, "output_dir": tmp_path / "run"}
    return flags(**(values | {"max_steps": 1} | more))


def test_a_run_of_short_texts_is_refused_before_a_long_one_can_fail(mpnet, tmp_path, capfd):
    targets = {"target_modules": "all-linear"}
    assert call_recipe("lora_classification", *arguments(tmp_path, mpnet, max_length=40)) == 2
    error = " ".join(capfd.readouterr().err.split())
    assert "--max-length: 40 tokens are more than" in error
    assert "lower it to 38" in error
    for task in ("ner", "classification"):
        plan = ["plan", "--model-id", str(mpnet), "--task", task]
        plan += ["--target-modules", "all-linear", "--max-length"]
        assert main([*plan, "40"]) == 2
        assert "lower it to 38" in capfd.readouterr().err.replace("\n", " ")
        assert main([*plan, "38"]) == 0
    assert (
        call_recipe("lora_classification", *arguments(tmp_path, mpnet, max_length=38, **targets))
        == 0
    )
    capfd.readouterr()
    # A run of before, whose record says more than there are positions for.
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["config"]["max_length"] = 40
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    predictor = load_predictor(tmp_path / "run")
    (answer,) = predictor(["hello " * 100])
    assert answer["label"]
    assert "1 of 1 texts are longer than the model's 38 positions" in predictor.notices[0]


@pytest.fixture
def more_tokens(tiny_model, tmp_path):
    """A model whose tokenizer was given a token that the model was not."""
    folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("zeppelin")])
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_texts_with_tokens_that_the_model_lacks_are_refused(more_tokens, tmp_path, capfd, split):
    rows = text_rows(60)
    rows[3] |= {"text": "the zeppelin is broken"}
    files = {f"{split}_file": write_jsonl(tmp_path / "more.jsonl", rows)}
    assert call_recipe("lora_classification", *arguments(tmp_path, more_tokens, **files)) == 2
    error = " ".join(capfd.readouterr().err.split())
    assert "has no embedding, such as 'zeppelin'" in error
    assert "not your mistake" not in error
    assert not (tmp_path / "run").exists()


def test_tokens_that_no_text_holds_are_told_and_prediction_names_them(more_tokens, tmp_path, capfd):
    assert call_recipe("lora_classification", *arguments(tmp_path, more_tokens)) == 0
    assert "the tokenizer has tokens up to number" in capfd.readouterr().out
    predictor = load_predictor(tmp_path / "run")
    predictor(["hello"])
    with pytest.raises(UserError, match="'zeppelin'"):
        predictor(["where is my zeppelin"])
