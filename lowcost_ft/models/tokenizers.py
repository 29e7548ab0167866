"""Tokenizers, loaded so that words that come one by one are cut as they are inside a sentence."""

import json
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from lowcost_ft.errors import UserError
from lowcost_ft.models.hub import find_model, is_cached, not_loadable, quiet_libraries

__all__ = ["cut_end", "load_tokenizer"]


def load_tokenizer(
    model_id: str,
    *,
    words: bool = False,
    slow: bool = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """Loads a fast tokenizer that has a padding token.

    Args:
        model_id: Name on the Hub, or a folder.
        words: Whether the input will be lists of words (`is_split_into_words=True`). Byte-level and
            similar tokenizers keep the space in front of a word as part of it; without it, every
            word but the first would be cut into pieces that the model has hardly seen.
        slow: Whether a tokenizer without `tokenizer.json` will do, as Marian's, which needs the
            sentencepiece package.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.

    Returns:
        The tokenizer. Where it had no padding token, the unknown or the end token pads: both have
        an embedding already, and no text holds them.

    Raises:
        UserError: The tokenizer is missing, is not a fast one, or cannot pad.
    """
    find_model(model_id, revision)
    options = {"add_prefix_space": True} if words else {}
    try:
        with quiet_libraries():
            tokenizer = AutoTokenizer.from_pretrained(
                model_id,
                revision=revision,
                trust_remote_code=trust_remote_code,
                local_files_only=is_cached(model_id, revision),
                **options,
            )
    # Each tokenizer class fails in its own way on files that are missing or not its own.
    except Exception as error:
        if "SentencePiece" in str(error):
            raise UserError(
                f"model_id: the tokenizer of {model_id!r} needs the sentencepiece package: run "
                "`pip install 'lowcost_ft[sentencepiece]'`"
            ) from error
        raise not_loadable("tokenizer", model_id, error) from error
    if not tokenizer.is_fast and not slow:
        raise UserError(
            f"model_id: the tokenizer of {model_id!r} ({type(tokenizer).__name__}) is not a fast "
            "one (it has no tokenizer.json), so sub-words cannot be traced back to words; "
            "choose a model with a fast tokenizer"
        )
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        # transformers makes a tokenizer up where the folder holds none.
        raise UserError(
            f"model_id: the tokenizer of {model_id!r} has an empty vocabulary: its files "
            "(tokenizer.json, or vocab.txt and the like) are missing"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise UserError(
            f"model_id: the tokenizer of {model_id!r} has no padding, unknown or end token; "
            "set pad_token in its tokenizer_config.json"
        )
    if words:
        _keep_space_before_words(tokenizer)
    return tokenizer


def cut_end(tokenizer: PreTrainedTokenizerBase) -> str:
    """Which end a text loses that is too long (`truncation_side` in tokenizer_config.json)."""
    return "beginning" if tokenizer.truncation_side == "left" else "end"


def _keep_space_before_words(tokenizer: Any) -> None:
    """Makes a word given by itself get the pieces that it has inside a sentence.

    `add_prefix_space=True` is obeyed by some tokenizer classes (GPT-2, RoBERTa, Qwen2) and silently
    ignored by the generic one (Llama 3, ModernBERT) and by Gemma's (transformers 5.23).
    """
    backend = tokenizer.backend_tokenizer
    if _cuts_words_alike(backend):
        return
    state = json.loads(backend.to_str())
    parts = _parts(state.get("pre_tokenizer"), "pretokenizers")
    byte_level = [part for part in parts if part["type"] == "ByteLevel"]
    metaspace = [part for part in parts if part["type"] == "Metaspace"]
    if byte_level or metaspace:
        for part in byte_level:
            part["add_prefix_space"] = True
        for part in metaspace:
            part["prepend_scheme"] = "always"
    else:  # Gemma, Llama 2: the normalizer turns spaces into "▁" and puts none in front.
        state["normalizer"] = {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                *_parts(state.get("normalizer"), "normalizers"),
            ],
        }
    changed = Tokenizer.from_str(json.dumps(state))
    # Only the stages are put in: the vocabulary and the added tokens stay as they were loaded.
    if byte_level or metaspace:
        backend.pre_tokenizer = changed.pre_tokenizer
    else:
        backend.normalizer = changed.normalizer


def _cuts_words_alike(backend: Tokenizer) -> bool:
    """Whether the second of two words gets the same pieces given alone and inside a text."""
    inside = backend.encode("order order", add_special_tokens=False).ids
    alone = backend.encode(["order", "order"], is_pretokenized=True, add_special_tokens=False).ids
    half = len(alone) // 2
    return inside[-half:] == alone[half:]


def _parts(stage: dict[str, Any] | None, key: str) -> list[dict[str, Any]]:
    if stage is None:
        return []
    return list(stage[key]) if stage["type"] == "Sequence" else [stage]
