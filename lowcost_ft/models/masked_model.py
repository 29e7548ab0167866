"""Other words for those of a text, guessed by a masked language model from what stands around them.

The model is the run's own, with the head that it was pretrained with, if its checkpoint has one.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from tqdm.auto import tqdm
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerBase

from lowcost_ft.data.text_edits import Edit, SpannedText, is_free
from lowcost_ft.errors import UserError
from lowcost_ft.models.hub import find_model, is_cached, not_loadable, quiet_libraries
from lowcost_ft.models.safety import check_weight_files

__all__ = ["VARIANTS", "digest_of", "masked_model", "word_guesses", "word_substitutes"]

VARIANTS = 4
"""Guesses that are made for each text, one of which is taken each time."""

_GUESSES = 10
"""Most probable words, one of which is drawn."""
_TEXTS_AT_ONCE = 32
_WHOLE_WORD = re.compile(r"(?<![\w'\u2019-])[^\W\d_]{2,}(?![\w'\u2019-])")


def masked_model(
    model_id: str, *, revision: str | None = None, flag: str = "--augment masked-model"
) -> Any:
    """A model with its masked language modelling head, in evaluation mode.

    Args:
        model_id: Name on the Hub, or a folder.
        revision: Branch, tag or commit on the Hub.
        flag: What asked for it.

    Raises:
        UserError: The architecture has none, or the checkpoint lacks its weights.
    """
    find_model(model_id, revision)
    check_weight_files(model_id)
    cached = is_cached(model_id, revision)
    reason = (
        f"{model_id} has no masked language modelling head in its checkpoint: leave it out, or "
        "take a model that was saved with it, such as bert-base-uncased"
    )
    try:
        with quiet_libraries():
            model, info = AutoModelForMaskedLM.from_pretrained(
                model_id,
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=cached,
                adapter_kwargs={"local_files_only": cached},
            )
    except (ImportError, ValueError) as error:  # A decoder, for example.
        raise UserError(f"{flag}: {reason}") from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise not_loadable("weights", model_id, error) from error
    if info["missing_keys"] or info["mismatched_keys"]:
        raise UserError(f"{flag}: {reason}")
    return model.eval()


@torch.inference_mode()
def word_substitutes(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[SpannedText],
    *,
    seed: int,
    share: float,
    max_length: int,
) -> list[list[list[Edit]]]:
    """Edits that put other words in the place of some of each text, none of a span.

    Args:
        model: What `masked_model` returned.
        tokenizer: Its tokenizer, with a mask token.
        texts: The texts.
        seed: Decides, with the number of a text and of a variant, which words are guessed.
        share: Of the words of a text; at least one.
        max_length: Tokens that are looked at.

    Returns:
        For each text `VARIANTS` lists of edits; empty where nothing could be guessed.
    """
    allowed = _whole_words(tokenizer, model.get_output_embeddings().weight.shape[0])
    jobs = []
    for place, spanned in enumerate(texts):
        words = _free_words(spanned, tokenizer)
        for variant in range(VARIANTS if words else 0):
            random = np.random.default_rng([seed, place, variant])
            count = max(1, round(share * len(words)))
            chosen = sorted(random.choice(len(words), min(count, len(words)), replace=False))
            jobs.append((place, variant, [words[i] for i in chosen], random))
    jobs.sort(key=lambda job: -len(texts[job[0]].text))  # Texts of like length go together.
    found: list[list[list[Edit]]] = [[[] for _ in range(VARIANTS)] for _ in texts]
    starts = range(0, len(jobs), _TEXTS_AT_ONCE)
    for start in tqdm(starts, desc="guessing words", file=sys.stderr, disable=None, leave=False):
        batch = jobs[start : start + _TEXTS_AT_ONCE]
        masked = [_masked(texts[place], words, tokenizer) for place, _, words, _ in batch]
        encoded = tokenizer(
            masked, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
        )
        logits = model(**encoded).logits.float()  # (texts, tokens, words)
        logits[..., ~allowed] = -torch.inf
        best = logits.topk(min(_GUESSES + 1, int(allowed.sum())), dim=-1)
        for row, (place, variant, words, random) in enumerate(batch):
            spots = (encoded["input_ids"][row] == tokenizer.mask_token_id).nonzero().flatten()
            for (first, last), spot in zip(words, spots.tolist(), strict=False):
                word = texts[place].text[first:last]
                values, ids = best.values[row, spot].tolist(), best.indices[row, spot].tolist()
                guess = _drawn(
                    word, values, [str(tokenizer.decode([i])).strip() for i in ids], random
                )
                if guess is not None:
                    found[place][variant].append((first, last, guess))
    return found


@torch.inference_mode()
def word_guesses(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[SpannedText],
    *,
    most: int,
    max_length: int = 256,
) -> list[list[list[Edit]]]:
    """The best other words in the place of each word of texts, one masked at a time.

    Args:
        model: What `masked_model` returned.
        tokenizer: Its tokenizer, with a mask token.
        texts: The texts; words of their spans are left out.
        most: Guesses for a word.
        max_length: Tokens that are looked at.

    Returns:
        For each text the edits of each word that has some.
    """
    allowed = _whole_words(tokenizer, model.get_output_embeddings().weight.shape[0])
    jobs = [
        (place, word)
        for place, spanned in enumerate(texts)
        for word in _free_words(spanned, tokenizer)
    ]
    found: list[list[list[Edit]]] = [[] for _ in texts]
    starts = range(0, len(jobs), _TEXTS_AT_ONCE)
    for start in tqdm(starts, desc="guessing words", file=sys.stderr, disable=None, leave=False):
        batch = jobs[start : start + _TEXTS_AT_ONCE]
        masked = [_masked(texts[place], [span], tokenizer) for place, span in batch]
        encoded = tokenizer(
            masked, padding=True, truncation=True, max_length=max_length, return_tensors="pt"
        )
        logits = model(**encoded).logits.float()
        logits[..., ~allowed] = -torch.inf
        for row, (place, (first, last)) in enumerate(batch):
            spots = (encoded["input_ids"][row] == tokenizer.mask_token_id).nonzero().flatten()
            if not len(spots):
                continue
            word = texts[place].text[first:last]
            best = logits[row, spots[0]].topk(most + 1).indices.tolist()
            guesses = [str(tokenizer.decode([number])).strip() for number in best]
            others = [g for g in guesses if g and g.casefold() != word.casefold()][:most]
            if others:
                found[place].append([(first, last, _as_written(word, g)) for g in others])
    return found


def _free_words(spanned: SpannedText, tokenizer: PreTrainedTokenizerBase) -> list[tuple[int, int]]:
    """Words outside of spans; none where the text holds the mask token, as the masks would mix."""
    if str(tokenizer.mask_token) in spanned.text:
        return []
    found = [match.span() for match in _WHOLE_WORD.finditer(spanned.text)]
    return [word for word in found if is_free(spanned, *word)]


def _masked(
    spanned: SpannedText, words: Sequence[tuple[int, int]], tokenizer: PreTrainedTokenizerBase
) -> str:
    parts, place = [], 0
    for first, last in words:
        parts += [spanned.text[place:first], str(tokenizer.mask_token)]
        place = last
    return "".join([*parts, spanned.text[place:]])


def _drawn(
    word: str, values: list[float], guesses: list[str], random: np.random.Generator
) -> str | None:
    """One of the guesses other than the word itself, by their probabilities, written as it is."""
    kept = [n for n, guess in enumerate(guesses) if guess.casefold() != word.casefold()][:_GUESSES]
    if not kept:
        return None
    chances = np.exp(np.asarray([values[n] for n in kept], np.float64) - max(values))
    if not chances.sum() > 0:
        return None
    guess = guesses[int(random.choice(kept, p=chances / chances.sum()))]
    return _as_written(word, guess)


def _as_written(word: str, guess: str) -> str:
    """A guess with the capitals of the word."""
    if word.isupper():
        return guess.upper()
    return guess.capitalize() if word.istitle() else guess


@lru_cache(maxsize=2)
def _whole_words(tokenizer: PreTrainedTokenizerBase, size: int) -> torch.Tensor:
    """Whether each token is a word of letters by itself, `(size,)`."""
    second = tokenizer("a b", add_special_tokens=False)["input_ids"][-1]
    marks = tuple(m for m in "\u0120\u2581" if tokenizer.convert_ids_to_tokens(second)[:1] == m)
    allowed = torch.zeros(size, dtype=torch.bool)
    for token, number in tokenizer.get_vocab().items():
        begins = token.startswith(marks) if marks else not token.startswith("##")
        if begins and number < size:
            allowed[number] = bool(_WHOLE_WORD.fullmatch(str(tokenizer.decode([number])).strip()))
    allowed[[number for number in tokenizer.all_special_ids if number < size]] = False
    return allowed


def digest_of(substitutes: Sequence[Sequence[Sequence[Edit]]]) -> str:
    """SHA-256 of some substitutes: a resumed run must have the same."""
    return hashlib.sha256(repr(substitutes).encode()).hexdigest()
