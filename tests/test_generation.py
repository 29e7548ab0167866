"""Texts written in batches are those that `generate` writes for each row alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    GenerationConfig,
    MarianConfig,
    T5Config,
)

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.errors import NoRoomError
from lowcost_ft.models.generation import writing
from lowcost_ft.models.generation.cache_memory import cache_size
from lowcost_ft.models.generation.constraints import draw
from lowcost_ft.models.generation.decoding import Decoding
from lowcost_ft.models.generation.published import generation_config
from lowcost_ft.models.generation.streaming import StreamedText, stream
from lowcost_ft.models.generation.writing import generate, plan_batches
from lowcost_ft.tasks.writing.telling import _generate_arguments

VOCABULARY = 60
END = 1
_SMALL = {"vocab_size": VOCABULARY, "initializer_range": 0.3, "pad_token_id": 0}
_SMALL |= {"eos_token_id": END, "bos_token_id": 2}
_LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_LAYERS |= {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
_BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 2}
_BART |= {"decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
_BART |= {"init_std": 0.3, "max_position_embeddings": 64, "decoder_start_token_id": 0}
CONFIGS = {
    "llama": lambda: AutoConfig.for_model("llama", **_SMALL, **_LAYERS),
    "gpt2": lambda: AutoConfig.for_model(
        "gpt2", **_SMALL, n_embd=32, n_layer=2, n_head=4, n_positions=64
    ),
    "gemma2": lambda: AutoConfig.for_model("gemma2", **_SMALL, **_LAYERS, sliding_window=6),
    "t5": lambda: T5Config(
        **_SMALL,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    ),
    "bart": lambda: BartConfig(**_SMALL, **_BART, forced_eos_token_id=END),
    "marian": lambda: MarianConfig(**_SMALL, **_BART, forced_eos_token_id=END),
}


def build(name):
    config = CONFIGS[name]()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = auto.from_config(config).eval()
    if name == "t5":
        for parameter in model.parameters():  # T5 begins so narrow that it repeats one token.
            parameter.data.mul_(2)
    if name == "marian":
        model.generation_config.bad_words_ids = [[0]]
    model.generation_config.max_length = None
    return model


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request):
    return build(request.param)


@pytest.fixture(scope="module")
def llama():
    return build("llama")


def prompts_of(lengths, seed=0):
    drawn = np.random.default_rng(seed)
    return [drawn.integers(3, VOCABULARY, length) for length in lengths]


PROMPTS = prompts_of([5, 1, 12, 3, 12, 20, 4, 9])


def settings(**changes):
    return GenerationSettings(
        **({"max_new_tokens": 12, "end_token_ids": (END, 7, 13, 22, 31, 40, 49)} | changes)
    )


def alone(model, prompt, chosen, **more):
    """What `generate` of transformers writes for one row, without the end."""
    ids = torch.tensor(prompt)[None]
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=chosen.max_new_tokens,
        num_beams=chosen.num_beams,
        do_sample=False,
        eos_token_id=list(chosen.end_token_ids),
        pad_token_id=0,
        length_penalty=chosen.length_penalty,
        no_repeat_ngram_size=chosen.no_repeat_ngram_size,
        **more,
    )[0].tolist()
    new = found[1:] if model.config.is_encoder_decoder else found[len(prompt) :]
    ends = [place for place, token in enumerate(new) if token in chosen.end_token_ids]
    return new[: ends[0]] if ends else new


def write(model, chosen, prompts=PROMPTS, **more):
    return generate(model, prompts, chosen, pad_token_id=0, **more)


@pytest.mark.parametrize(
    "changes",
    [
        {"no_repeat_ngram_size": 2},
        {"num_beams": 3, "no_repeat_ngram_size": 3, "length_penalty": 2.0},
    ],
)
def test_a_batch_reads_as_each_row_alone(model, changes):
    chosen = settings(**changes)
    written = write(model, chosen)
    expected = [alone(model, prompt, chosen) for prompt in PROMPTS]
    pairs = zip(written.tokens, expected, strict=True)
    differing = {row for row, (one, other) in enumerate(pairs) if one != other}
    assert differing <= set(written.near_ties)
    assert len(written.near_ties) <= 4
    if chosen.num_beams == 1:  # The batch must have shrunk, and gone on.
        assert len({len(tokens) for tokens in written.tokens}) > 1


def test_beams_count_rows_in_which_a_token_has_a_twin():
    model = build("llama")
    with torch.no_grad():
        weight = model.get_output_embeddings().weight
        weight[4:30:2] = weight[3:29:2]
        weight[4:30:2] *= 1 + 1e-7
    chosen = settings(num_beams=3)
    written = write(model, chosen)
    expected = [alone(model, prompt, chosen) for prompt in PROMPTS]
    pairs = zip(written.tokens, expected, strict=True)
    differing = {row for row, (one, other) in enumerate(pairs) if one != other}
    assert differing <= set(written.near_ties)
    assert len(written.near_ties) >= 6  # Which of two twins stays among the beams is chance.


@pytest.mark.parametrize("changes", [{"length_penalty": -1.0}, {"length_penalty": 0.0}])
def test_beams_are_ranked_by_the_length_penalty(llama, changes):
    chosen = settings(num_beams=2, end_token_ids=(END,), max_new_tokens=6, **changes)
    written = write(llama, chosen)
    expected = [alone(llama, prompt, chosen) for prompt in PROMPTS]
    pairs = zip(written.tokens, expected, strict=True)
    differing = {row for row, (one, other) in enumerate(pairs) if one != other}
    assert differing <= set(written.near_ties)


def test_a_saved_model_searches_as_its_run_and_not_as_the_published_one():
    published = GenerationConfig(num_beams=4, min_length=9, repetition_penalty=1.3, pad_token_id=3)
    for chosen in (settings(), settings(num_beams=3, length_penalty=0.5), settings(temperature=2)):
        config = generation_config(SimpleNamespace(generation_config=published), chosen)
        config.validate(strict=True)
        assert (config.min_length, config.repetition_penalty) == (None, None)
        assert config.num_beams == chosen.num_beams and config.pad_token_id == 3
        assert config.do_sample is (chosen.temperature > 0)
        assert config.eos_token_id == list(chosen.end_token_ids)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_code_of_a_card_searches_as_its_run_whatever_the_model_was_published_with(beams):
    model, chosen = build("llama"), settings(num_beams=beams)
    published = {"min_new_tokens": 9, "encoder_no_repeat_ngram_size": 2, "repetition_penalty": 1.3}
    model.generation_config = GenerationConfig(**published, num_beams=4, min_length=9)
    record = {"num_beams": beams, "max_target_length": chosen.max_new_tokens}
    code = _generate_arguments(record | {"end_token_ids": chosen.end_token_ids})
    named = eval(f"dict({code})", {"tokenizer": SimpleNamespace(pad_token_id=0)})
    written = write(model, chosen)
    for row, (prompt, tokens) in enumerate(zip(PROMPTS, written.tokens, strict=True)):
        found = model.generate(torch.tensor(prompt)[None], **named)[0, len(prompt) :].tolist()
        ends = [place for place, token in enumerate(found) if token in chosen.end_token_ids]
        assert row in written.near_ties or found[: ends[0] if ends else None] == tokens


def test_a_first_token_is_forced_on_an_encoder_decoder_and_refused_on_a_decoder(model):
    chosen = settings(first_token_id=9)
    if not model.config.is_encoder_decoder:
        with pytest.raises(ValueError, match="put it into the prompt"):
            write(model, chosen)
        return
    written = write(model, chosen)
    expected = [alone(model, prompt, chosen, forced_bos_token_id=9) for prompt in PROMPTS]
    assert all(tokens[0] == 9 for tokens in written.tokens)
    assert written.near_ties or written.tokens == expected


def test_drawn_texts_depend_on_seed_and_row_alone(llama):
    chosen = settings(temperature=0.9, sample_top_k=20, sample_top_p=0.95, seed=4)
    first = write(llama, chosen)
    assert first.tokens == write(llama, chosen).tokens
    assert first.tokens != write(llama, settings(temperature=0.9, seed=5)).tokens
    cut = write(llama, chosen, memory_bytes=1)
    assert cut.tokens == first.tokens
    later = write(llama, chosen, PROMPTS[4:], numbers=range(4, len(PROMPTS)))
    assert later.tokens == first.tokens[4:]


def test_tokens_are_drawn_as_often_as_they_are_probable():
    logits = torch.tensor([0.5, 0.0, 0.3, 0.2]).log().expand(4000, 4)
    chances = np.random.default_rng(0).random(4000)
    found = torch.bincount(draw(logits, chances), minlength=4) / 4000
    assert found[1] == 0
    assert torch.allclose(found, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.03)
    assert draw(torch.tensor([[0.0, 0.0, -torch.inf]]), [1.0]).tolist() == [1]


def test_what_runs_out_of_memory_is_halved(model, monkeypatch):
    chosen = settings(max_new_tokens=4)
    whole = write(model, chosen)
    assert whole.halvings == 0
    rows = []
    original = writing.Decoding

    def scarce(model, prompts, **more):
        rows.append(len(prompts))
        if len(prompts) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return original(model, prompts, **more)

    monkeypatch.setattr(writing, "Decoding", scarce)
    done = []
    cut = write(model, chosen, progress=done.append)
    assert cut.halvings > 0 and sum(done) == len(PROMPTS)
    assert rows[:3] == [8, 4, 2]
    pairs = zip(whole.tokens, cut.tokens, strict=True)
    differing = {row for row, (one, other) in enumerate(pairs) if one != other}
    assert differing <= {*whole.near_ties, *cut.near_ties}


def test_a_row_for_which_there_is_no_room_is_told(llama, monkeypatch):
    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr(writing, "Decoding", broken)
    with pytest.raises(NoRoomError, match="after 20 tokens; lower --max-length"):
        write(llama, settings())


def test_other_errors_are_not_taken_for_a_lack_of_memory(llama, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something else")

    monkeypatch.setattr(writing, "Decoding", broken)
    with pytest.raises(RuntimeError, match="something else"):
        write(llama, settings())
    with pytest.raises(ValueError, match="no tokens"):
        write(llama, settings(), [np.array([], np.int64)])


def test_keys_and_values_take_what_is_planned(model):
    decoding = Decoding(
        model, prompts_of([8, 8, 8]), pad_token_id=0, start_token_id=0, device=torch.device("cpu")
    )
    size = cache_size(model.config, 4)
    for _ in range(3):
        decoding.append(torch.full((3,), 5))
    planned = 3 * size.per_written * (8 + 3)
    if model.config.is_encoder_decoder:
        planned = 3 * (size.per_read * 8 + size.per_written * 4)
    if "sliding_window" in model.config.to_dict():
        assert decoding.cache_bytes < planned
    else:
        assert decoding.cache_bytes == planned
    assert size.of_row(8, 3) * 3 > planned


def test_batches_hold_rows_of_like_length_and_keep_to_their_room():
    lengths = [3, 50, 4, 48, 1]
    batches = plan_batches(lengths, lambda row: lengths[row] + 10, 120)
    assert batches == [[1, 3], [2, 0, 4]]
    assert plan_batches(lengths, lambda row: 1000, 1) == [[1], [3], [2], [0], [4]]
    assert plan_batches([], lambda row: 1, 1) == []


def test_layers_without_keys_write_in_a_batch_as_alone():
    more = {"max_position_embeddings": 64, "attn_layer_period": 2, "attn_layer_offset": 1}
    more |= {"num_experts": 2, "mamba_d_state": 4, "mamba_d_conv": 3, "use_mamba_kernels": False}
    config = AutoConfig.for_model("jamba", **(_SMALL | _LAYERS | more))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        jamba = AutoModelForCausalLM.from_config(config).eval()
    chosen = settings(max_new_tokens=6)
    written = write(jamba, chosen, PROMPTS[:4])
    assert not written.near_ties
    assert written.tokens == [alone(jamba, prompt, chosen) for prompt in PROMPTS[:4]]
    assert len({len(tokens) for tokens in written.tokens}) > 1


def test_an_adapter_writes_as_its_model_does(llama):
    from peft import LoraConfig, get_peft_model

    before = write(llama, settings()).tokens
    adapted = get_peft_model(build("llama"), LoraConfig(target_modules=["q_proj"])).eval()
    assert write(adapted, settings()).tokens == before


def test_nothing_to_write_for_no_rows(llama):
    assert write(llama, settings(), []).tokens == []


@pytest.mark.parametrize("changes", [{}, {"num_beams": 2}, {"temperature": 0.8, "seed": 1}])
def test_a_stream_brings_the_tokens_of_the_text(model, changes):
    chosen = settings(**changes)
    expected = write(model, chosen, PROMPTS[:1], numbers=[5]).tokens[0]
    tokens = []
    for token in stream(model, PROMPTS[0], chosen, pad_token_id=0, number=5):
        assert not torch.is_inference_mode_enabled()
        tokens.append(token)
    assert tokens == expected


class _Letters:
    """A tokenizer whose tokens are bytes."""

    def decode(self, tokens, *, skip_special_tokens):
        return bytes(tokens).decode("utf-8", "replace")


def test_streamed_pieces_are_whole_characters_and_together_the_text():
    text = StreamedText(_Letters())
    pieces = [text.add(byte) for byte in " Où est  l'été ? \n".encode()]
    pieces.append(text.finish())
    assert "".join(pieces) == text.text == "Où est  l'été ?"
    assert "\ufffd" not in "".join(pieces)
    broken = StreamedText(_Letters())
    assert [broken.add(byte) for byte in b"a\xc3"] == ["a", ""]
    assert broken.finish() == "\ufffd"


@pytest.mark.parametrize("changes", [{}, {"num_beams": 2}])
def test_padding_is_no_sequence_that_a_text_may_not_repeat(changes):
    model = build("llama")
    model.lm_head.weight.data[0] *= 3.0  # It likes to write the token that pads.
    chosen = settings(no_repeat_ngram_size=3, **changes)
    prompts = prompts_of([1, 9, 2, 1, 3], seed=1)
    found = write(model, chosen, prompts)
    texts = [alone(model, prompt, chosen) for prompt in prompts]
    assert found.tokens == texts and not found.near_ties
    assert any(text[place : place + 3] == [0, 0, 0] for text in texts for place in range(10))
