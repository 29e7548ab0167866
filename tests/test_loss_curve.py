"""The loss of each step is the one that plain transformers and peft compute on the same batches."""

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from small_runs import dialogue_rows, write_jsonl
from transformers import AutoModelForCausalLM, get_scheduler

import lowcost_ft as ft
from lowcost_ft.training.steps import StepRunner

STEPS = 5
RANK, ALPHA, RATE = 4, 8, 5e-3


def labelled(tokenizer, example):
    """Tokens of a whole conversation, and labels for what the assistant says, with its end."""
    turns = [*example.turns, ("assistant", example.target)]
    messages = [{"role": role, "content": content} for role, content in turns]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    labels, after = [-100] * len(encoded["input_ids"]), 0
    for role, content in turns:
        start = text.index(content, after)
        after = start + len(content)
        if role != "assistant":
            continue
        after += len(tokenizer.eos_token)
        for place, (first, last) in enumerate(encoded["offset_mapping"]):
            if start <= first and last <= after:
                labels[place] = encoded["input_ids"][place]
    return encoded["input_ids"], labels


def padded(rows, fill):
    width = max(map(len, rows))
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def test_the_loss_curve_is_that_of_a_plain_loop(tmp_path, tiny_model, monkeypatch):
    batches, losses = [], []
    step = StepRunner.step

    def noted(runner, optimizer, planned):
        outcome = step(runner, optimizer, planned)
        batches.append(planned.rows.tolist())
        losses.append(float(outcome.loss))
        return outcome

    config = ft.RunConfig(
        task="dialogue",
        model_id=tiny_model("llama"),
        train_file=write_jsonl(tmp_path / "train.jsonl", dialogue_rows(20)),
        output_dir=str(tmp_path / "run"),
        chat_template="plain",
        max_length=128,
        max_target_length=16,
        max_steps=STEPS,
        batch_size=6,
        dropout=0.0,
        lora_r=RANK,
        lora_alpha=ALPHA,
        learning_rate=RATE,
        generated_validation_rows=0,
    )
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        model = built.model.model
        start = {name: value.clone() for name, value in get_peft_model_state_dict(model).items()}
        monkeypatch.setattr(StepRunner, "step", noted)
        ft.train(run, built, data)
    batches, losses = batches[-STEPS:], losses[-STEPS:]

    plain = get_peft_model(
        AutoModelForCausalLM.from_pretrained(config.model_id, dtype=torch.float32),
        LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules="all-linear"),
    ).train()
    assert not set_peft_model_state_dict(plain, start).unexpected_keys
    assert get_peft_model_state_dict(plain).keys() == start.keys()
    trained = [parameter for parameter in plain.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=config.weight_decay)
    warmup = round(config.warmup_ratio * STEPS)
    schedule = get_scheduler("linear", optimizer, warmup, STEPS)
    expected = []
    for batch in batches:
        rows = [labelled(data.tokenizer, data.splits.train[row]) for row in batch]
        ids, labels = (padded([row[part] for row in rows], (0, -100)[part]) for part in (0, 1))
        mask = padded([[1] * len(row[0]) for row in rows], 0)
        loss = plain(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    assert expected[-1] < expected[0]
    assert losses == pytest.approx(expected, rel=1e-5)
