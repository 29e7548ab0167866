"""Tiny random models of every family, with real tokenizers, for tests: `make_tiny("bert", folder)`.

Each folder holds what a user's checkpoint holds (`config.json`, `model.safetensors`, a fast
tokenizer) and lacks what a user's checkpoint lacks: the task head.
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    BertTokenizer,
    DebertaV2Tokenizer,
    DistilBertTokenizer,
    GemmaTokenizer,
    GPT2Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

__all__ = [
    "DECODERS",
    "ENCODERS",
    "ENCODER_DECODERS",
    "FAMILY_NAMES",
    "SENTENCES",
    "TOKEN_FAMILIES",
    "make_tiny",
]

SENTENCES = (
    "Anna Berg ordered two blue lamps from the shop in Oslo on Monday.",
    "Where is my parcel? The tracking number A1234 does not work.",
    "Please cancel order 77281 and send the money back to my card.",
    "The kettle that I bought last week is broken, can I return it?",
    "My name is David Okoye and I live in Nairobi.",
    "Northwind Traders sent the wrong chair to our office in Madrid.",
    "Thank you, the new desk arrived today and it looks great!",
    "How long does the delivery to Hamburg take?",
    "I would like to change the address of my order before Friday.",
    "The invoice for March lists a lamp that we never ordered.",
    "Is the green sofa still in stock? I need it by the 3rd of May.",
    "Maria Lopez from Blue Harbor asked for a discount on ten chairs.",
    "I forgot my password and cannot log in to my account.",
    "The driver left the box in the rain and everything is wet.",
    "Can you tell me the price of the oak table with six seats?",
    "We waited for three hours but nobody came to pick it up.",
    "Your website shows an error when I try to pay by card.",
    "Does the warranty cover a cracked screen?",
    "The parcel went to Lagos instead of London.",
    "Hello, I want to speak to a person about a refund.",
    "Please update the email of Chen Wei at Red River Ltd.",
    "The colour of the carpet is not the one in the picture.",
    "I was charged twice for the same order yesterday.",
    "When will the winter jackets be available again?",
    "Nobody answered the phone on Tuesday or Wednesday morning.",
    "The assembly guide for the shelf is missing two pages.",
    "Could you send a copy of the receipt to our accountant?",
    "I am very happy with the quick help, five stars!",
    "The coupon SAVE20 was refused although it is valid until June.",
    "Our team in Berlin needs four monitors and one printer.",
    "Why did the price of the phone go up over night?",
    "It is too small, I would like a larger size please.",
)
"""The text that the tokenizers are trained on."""

ENCODERS = (
    "bert",
    "distilbert",
    "roberta",
    "xlm-roberta",
    "electra",
    "albert",
    "deberta-v2",
    "modernbert",
)
DECODERS = ("gpt2", "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
ENCODER_DECODERS = ("t5", "mt5", "bart", "mbart", "marian", "pegasus", "m2m_100")
"""With the head that writes; `make_tiny` knows them, too."""
FAMILY_NAMES = ENCODERS + DECODERS
"""What `make_tiny` knows; each name is the `model_type` of the configuration it writes."""
TOKEN_FAMILIES = tuple(name for name in FAMILY_NAMES if name != "gemma3_text")
"""Families for which transformers has a token classification head."""

_VOCAB_SIZE = 320


def make_tiny(
    family_name: str,
    folder: str | Path,
    *,
    seed: int = 0,
    tokenizer: PreTrainedTokenizerBase | None = None,
    **config_overrides: Any,
) -> str:
    """Writes a small random checkpoint without a task head and a tokenizer trained on `SENTENCES`.

    Args:
        family_name: One of `FAMILY_NAMES`.
        folder: Where to write; created when missing.
        seed: Seed of the weights.
        tokenizer: In place of the one that is trained.
        **config_overrides: Fields of the model's configuration, e.g. `num_hidden_layers=2`.

    Returns:
        The folder's path, usable as a model id.
    """
    tokenizer = tokenizer or _train_tokenizer(family_name)
    if family_name in ENCODER_DECODERS:
        config = _encoder_decoder_config(family_name, tokenizer, config_overrides)
    else:
        config = _config(family_name, tokenizer, config_overrides)
    # The class that the family's public checkpoints were saved from: it decides their weight names.
    auto_class = {
        "bert": AutoModel,
        "albert": AutoModelForPreTraining,
        "gpt2": AutoModel,
        "deberta-v2": AutoModel,
        "electra": AutoModelForPreTraining,
        **dict.fromkeys(ENCODER_DECODERS, AutoModelForSeq2SeqLM),
    }.get(family_name, AutoModelForCausalLM if family_name in DECODERS else AutoModelForMaskedLM)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto_class.from_config(config)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return str(folder)


def _config(family_name: str, tokenizer: PreTrainedTokenizerBase, overrides: dict[str, Any]) -> Any:
    values: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 130,
        # 0.02, the usual value, leaves so narrow a model with outputs that hardly differ.
        "initializer_range": 0.2,
    }
    # Decoders keep `pad_token_id` unset, as published checkpoints do.
    fields = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    if family_name in ENCODERS:
        fields |= {"pad": tokenizer.pad_token_id}
    values |= {f"{name}_token_id": number for name, number in fields.items() if number is not None}
    if family_name == "distilbert":
        renamed = {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 64}
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del values[name]
        del values["intermediate_size"]
        values |= renamed
    elif family_name == "gpt2":
        for name in ("hidden_size", "num_hidden_layers", "num_attention_heads"):
            del values[name]
        del values["intermediate_size"], values["max_position_embeddings"]
        values |= {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_inner": 64, "n_positions": 128}
    elif family_name in ("albert", "electra"):
        values["embedding_size"] = 16
    elif family_name == "deberta-v2":  # As DeBERTa-v3.
        values |= {
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
            "type_vocab_size": 0,
        }
    elif family_name == "modernbert":
        values |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        values |= {"local_attention": 16}
    elif family_name in DECODERS:
        values |= {"num_key_value_heads": 2, "head_dim": 8}
        if family_name.startswith("gemma") and family_name != "gemma":
            values |= {"sliding_window": 16, "query_pre_attn_scalar": 8}
        if family_name in ("llama", "qwen2"):
            del values["head_dim"]
    for name in overrides:  # e.g. `num_hidden_layers` where the family calls it `n_layer`
        other = _RENAMED.get((family_name, name))
        if other:
            values.pop(other, None)
    return AutoConfig.for_model(family_name, **(values | overrides))


def _encoder_decoder_config(
    family_name: str, tokenizer: PreTrainedTokenizerBase, overrides: dict[str, Any]
) -> Any:
    eos, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    # T5, Marian and Pegasus begin what they write with the padding token.
    start = pad if family_name in ("t5", "mt5", "marian", "pegasus") else eos
    values: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "d_model": 32,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "bos_token_id": None,
        "decoder_start_token_id": start,
    }
    if family_name in ("t5", "mt5"):
        values |= {"d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 3, "num_decoder_layers": 3}
        # Without it the outputs of so narrow a model hardly differ.
        values |= {"initializer_factor": 2.0}
    else:
        values |= {"encoder_layers": 3, "decoder_layers": 3, "max_position_embeddings": 130}
        values |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "init_std": 0.2}
        values |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "forced_eos_token_id": None}
    return AutoConfig.for_model(family_name, **(values | overrides))


_RENAMED = {
    ("distilbert", "num_hidden_layers"): "n_layers",
    ("distilbert", "hidden_size"): "dim",
    ("distilbert", "num_attention_heads"): "n_heads",
    ("gpt2", "num_hidden_layers"): "n_layer",
    ("gpt2", "hidden_size"): "n_embd",
    ("gpt2", "num_attention_heads"): "n_head",
    ("gpt2", "max_position_embeddings"): "n_positions",
}


def _train_tokenizer(family_name: str) -> PreTrainedTokenizerBase:
    return _TOKENIZERS[family_name]()


def _train(tokenizer: Tokenizer, trainer: Any) -> Any:
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


def _wordpiece(tokenizer_class: Callable[..., PreTrainedTokenizerBase]) -> Any:
    # Put together here: the trainer breaks ties in another order each time.
    words = Counter(
        word
        for sentence in SENTENCES
        for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(sentence.lower())
    )
    characters = sorted(set("".join(words)))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [*characters, *(f"##{character}" for character in characters)]
    pieces += sorted(set(words) - set(pieces), key=lambda word: (-words[word], word))
    vocab = {piece: number for number, piece in enumerate(pieces[:_VOCAB_SIZE])}
    return tokenizer_class(vocab=vocab, do_lower_case=True, model_max_length=128)


def _byte_level(special: list[str]) -> tuple[Tokenizer, dict[str, int], Any]:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCAB_SIZE + 80,  # 256 of them are the bytes.
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    _train(raw, trainer)
    # The JSON form is the only one that gives the merges back.
    merges: Any = [tuple(pair) for pair in json.loads(raw.to_str())["model"]["merges"]]
    return raw, raw.get_vocab(), merges


def _unigram(special: list[str]) -> list[tuple[str, float]]:
    # Put together here: the trainer finds other pieces each time. Words and parts of words compete.
    counts: Counter[str] = Counter()
    for sentence in SENTENCES:
        for word in sentence.split():
            marked = f"▁{word}"
            counts.update({marked: 4})
            for length in (1, 2, 3):
                counts.update(marked[at : at + length] for at in range(len(marked) - length + 1))
    singles = sorted(piece for piece in counts if len(piece) == 1)
    longer = sorted(counts.keys() - set(singles), key=lambda piece: (-counts[piece], piece))
    pieces = [*singles, *longer][: _VOCAB_SIZE - len(special)]
    total = sum(counts[piece] for piece in pieces)
    scored = sorted(((p, math.log(counts[p] / total)) for p in pieces), key=lambda x: (-x[1], x[0]))
    return [*((token, 0.0) for token in special), *scored]


def _roberta() -> Any:
    _, vocab, merges = _byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return RobertaTokenizer(vocab=vocab, merges=merges, model_max_length=128)


def _xlm_roberta() -> Any:
    vocab = _unigram(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return XLMRobertaTokenizer(vocab=vocab, model_max_length=128)


def _albert() -> Any:
    vocab = _unigram(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    return AlbertTokenizer(vocab=vocab, model_max_length=128)


def _deberta() -> Any:
    vocab = _unigram(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"])
    return DebertaV2Tokenizer(vocab=vocab, unk_id=3, model_max_length=128)


def _modernbert() -> Any:
    raw, vocab, _ = _byte_level(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, vocab[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=128,
    )


def _gpt2() -> Any:
    _, vocab, merges = _byte_level(["<|endoftext|>"])
    return GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=128)


def _llama() -> Any:
    """As Llama 3: byte-level pairs, a beginning-of-text token in front, no padding token."""
    raw, vocab, _ = _byte_level(["<|begin_of_text|>", "<|end_of_text|>"])
    raw.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", vocab["<|begin_of_text|>"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=128,
    )


def _qwen() -> Any:
    _, vocab, merges = _byte_level(["<|endoftext|>"])
    return Qwen2Tokenizer(vocab=vocab, merges=merges, model_max_length=128)


def _gemma() -> Any:
    raw = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    raw.normalizer = normalizers.Replace(" ", "▁")
    raw.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCAB_SIZE + 150,  # 256 of them stand for the bytes that no piece covers.
        special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
        + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    state = json.loads(_train(raw, trainer).to_str())["model"]
    merges: Any = [tuple(pair) for pair in state["merges"]]
    return GemmaTokenizer(
        vocab=state["vocab"],
        merges=merges,
        model_max_length=128,
        padding_side="left",  # As published.
    )


def _text_to_text() -> Any:
    """As T5's: pieces, and a token behind the text."""
    raw = Tokenizer(models.Unigram(_unigram(["<pad>", "</s>", "<unk>"]), unk_id=2))
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    raw.decoder = decoders.Metaspace()
    raw.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=128,
    )


_TOKENIZERS: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(ENCODER_DECODERS, _text_to_text),
    "bert": lambda: _wordpiece(BertTokenizer),
    "distilbert": lambda: _wordpiece(DistilBertTokenizer),
    "electra": lambda: _wordpiece(BertTokenizer),
    "roberta": _roberta,
    "xlm-roberta": _xlm_roberta,
    "albert": _albert,
    "deberta-v2": _deberta,
    "modernbert": _modernbert,
    "gpt2": _gpt2,
    "llama": _llama,
    "qwen2": _qwen,
    "qwen3": _qwen,
    "gemma": _gemma,
    "gemma2": _gemma,
    "gemma3_text": _gemma,
}
