"""How a model writes text: the flags that recipes have, and what one call is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowcost_ft.config.setting import setting

__all__ = ["GENERATION_FIELDS", "GenerationConfig", "GenerationSettings", "generation_problems"]
__all__ += ["line_break_problems", "overridden"]


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """What the model reads and writes, for tasks whose answer is a text."""

    prompt_template: str | None = None
    """Text around the input. For translation and summarization, {source} is the row's text, and
    {source_language} and {target_language} are the languages. Default: an instruction in English
    for decoders; the text alone, or T5's prefix, for encoder-decoders. In classification a decoder
    then says which label's words follow the template; {text_pair} is the second text of a pair, and
    {labels} the words of all labels. Default there: none."""
    chat_template: str = "auto"
    """How the turns of a conversation become one text: auto (the tokenizer's own template; plain
    if it has none and there are no turns), plain (no special tokens), or a file with a Jinja
    template. In classification with --prompt-template, plain is the template alone."""
    max_target_length: int = setting(128, at_least=2)
    """Longest text to learn or to write, in tokens, with its end token. Longer texts lose their
    end. A decoder's --max-length limits input and target together."""
    num_beams: int = setting(1, at_least=1)
    """Beams of the search when writing; 1 is greedy."""
    temperature: float = setting(0.0, at_least=0)
    """0: the most probable token. Above: tokens are drawn, with logits divided by this, for each
    row from the seed and its number."""
    sample_top_k: int | None = setting(None, at_least=1)
    """Draw only from this many of the most probable tokens."""
    sample_top_p: float | None = setting(None, above=0, below=1)
    """Draw only from the most probable tokens that together have this probability."""
    length_penalty: float = 1.0
    """Beams are ranked by their log probability divided by their length to this power."""
    no_repeat_ngram_size: int = setting(0, at_least=0)
    """Never write a sequence of this many tokens twice; 0 allows it."""
    generated_validation_rows: int = setting(48, at_least=0)
    """Number of validation rows, drawn from the seed, that the model answers after each epoch to be
    scored. The loss is computed on all rows. 0: none, and the loss decides which epoch is best."""


GENERATION_FIELDS = frozenset(GenerationConfig.__dataclass_fields__)
"""Names of these flags, for tasks that have them."""


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """What one call to write texts is told.

    Attributes:
        max_new_tokens: Longest text in tokens, its end included.
        end_token_ids: Tokens any of which ends a text.
        num_beams: 1 is greedy, or drawn.
        temperature: 0 draws nothing.
        sample_top_k: As the flag.
        sample_top_p: As the flag.
        length_penalty: As the flag.
        no_repeat_ngram_size: As the flag.
        first_token_id: The token that every text begins with, such as the code of a language.
        start_token_id: The token in front of it, which the decoder of an encoder-decoder is given;
            None: the one of the model's configuration.
        seed: Draws depend on it and on the row's number alone.
    """

    max_new_tokens: int
    end_token_ids: tuple[int, ...]
    num_beams: int = 1
    temperature: float = 0.0
    sample_top_k: int | None = None
    sample_top_p: float | None = None
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    first_token_id: int | None = None
    start_token_id: int | None = None
    seed: int = 0


def generation_problems(settings: Mapping[str, Any]) -> list[str]:
    """Which of the flags exclude or need one another.

    Args:
        settings: Their values by name.
    """
    problems = []
    beams, drawn = settings["num_beams"] > 1, settings["temperature"] > 0
    if beams and drawn:
        problems.append(
            "--num-beams searches for the most probable text, --temperature draws one: give one of "
            "them"
        )
    for name in ("sample_top_k", "sample_top_p"):
        if settings[name] is not None and not drawn:
            flag = "--" + name.replace("_", "-")
            problems.append(f"{flag} is for drawn tokens: add --temperature, such as 0.7")
    if settings["no_repeat_ngram_size"] == 1:
        problems.append(
            "--no-repeat-ngram-size 1 would forbid every token of the input: give 2 or more, such "
            "as 3"
        )
    if settings["length_penalty"] != 1.0 and not beams:
        problems.append("--length-penalty ranks beams: add --num-beams")
    return problems


def overridden(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run with the flags of a command, which are obeyed.

    Settings of the run that are for another search than the one which the flags ask for go back to
    their defaults: beams are not drawn, and `--temperature 0` needs no `--sample-top-k`.

    Args:
        settings: Those of the run by name.
        given: The flags that were given by name.
    """
    found = {**settings, **given}
    if given.get("num_beams", 1) > 1 and "temperature" not in given:
        found["temperature"] = 0.0
    if given.get("temperature", 0) > 0 and "num_beams" not in given:
        found["num_beams"] = 1
    usual = {name: field.default for name, field in GenerationConfig.__dataclass_fields__.items()}
    unused = ["length_penalty"] if found["num_beams"] == 1 else []
    unused += ["sample_top_k", "sample_top_p"] if found["temperature"] == 0 else []
    return found | {name: usual[name] for name in unused if name not in given}


def line_break_problems(template: str) -> list[str]:
    """What is wrong with a `--prompt-template` whose line breaks the shell left as they were typed.

    Args:
        template: The flag's value.
    """
    if "\\n" not in template:
        return []
    return [
        "--prompt-template holds a backslash and an n: write a line break, in most shells as "
        "in $'{source}\\nTopic:'"
    ]
