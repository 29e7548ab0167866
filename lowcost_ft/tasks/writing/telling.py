"""What a model that writes text is and does, in words and in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import RunRecord, TaskCard

__all__ = ["WritingTelling", "is_encoder_decoder"]


def is_encoder_decoder(run: RunRecord) -> bool:
    """Whether the model of a run that is over reads with an encoder and writes with a decoder."""
    settings = run.get("writing") or {}
    # Older runs do not say it; a decoder's template is there as text.
    return bool(settings.get("encoder_decoder", settings.get("chat_template") == "auto"))


class WritingTelling(Task):
    """The part of the tasks that speaks to people.

    Attributes:
        goal: What the model was trained for, after its name.
        unit: What examples are called.
        sample_text: An input that shows what a new run does.
    """

    goal: ClassVar[str]
    unit: ClassVar[str] = "texts"
    sample_text: ClassVar[str]

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """Its words in a model card."""
        target = (run.get("writing") or {}).get("max_target_length", 128)
        also = "" if is_encoder_decoder(run) else " and in the tokenizer's chat template"
        return TaskCard(
            goal=cls.goal,
            unit=cls.unit,
            score_note=(
                "Perplexity is that of the reference, without what begins and ends it; the other "
                "scores compare what the model wrote with all references."
            ),
            example=cls.sample_text,
            limits=[
                f"It writes at most {target} tokens. What it writes can be wrong however well it "
                "reads: it may leave out, add and invent.",
                f"It was trained with one prompt, which is in `run.json` under `writing`{also}; "
                "with another one it may write worse.",
            ],
        )

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that writes with `model` and `tokenizer`."""
        settings = run.get("writing") or {}
        text = cls.prompt_text(settings, cls.sample_text)
        call = f"""with torch.inference_mode():
    written = model.generate(
        **inputs,
{_generate_arguments(settings)}
    )"""
        if is_encoder_decoder(run):
            lines = [f"text = {text!r}"]
            if codes := settings.get("tokenizer_languages"):
                lines.append(f"tokenizer.src_lang, tokenizer.tgt_lang = {codes[0]!r}, {codes[1]!r}")
            options = f'truncation=True, max_length={max_length}, return_tensors="pt"'
            lines += [f"inputs = tokenizer(text, {options})", call]
            new = "written[0]"
        else:
            shown = [{"role": "user", "content": text}]
            lines = [
                f"messages = {shown!r}",
                "# With a reply in its place, to cut the prompt off where it begins.",
                'marked = [*messages, {"role": "assistant", "content": "REPLY"}]',
                "text = tokenizer.apply_chat_template("
                "marked, tokenize=False, enable_thinking=False)",
                'prompt = text[: text.rindex("REPLY")]',
                'inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")',
                *[call, 'new = written[0, inputs["input_ids"].shape[1] :]'],
            ]
            new = "new"
        lines.append(f"print(tokenizer.decode({new}, skip_special_tokens=True).strip())")
        return "\n".join(lines)

    @classmethod
    def prompt_text(cls, settings: Mapping[str, Any], text: str) -> str:
        """What the model reads for a row's text."""
        return text

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with an input that shows what a new run does."""
        return ["--text", cls.sample_text]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal: what was written."""
        written = str(answer["written"])
        return f"[{answer['id']}] {written}" if answer.get("id") is not None else written

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """See `Task.doubts`."""
        written = predictions["written"] > 0
        warnings = []
        if written.any():
            lengths = (predictions["tokens"][written] > 0).sum(axis=1)
            empty = int((lengths == 0).sum())
            # BART's texts end at the limit with the token that its settings force there.
            full = int((lengths >= predictions["tokens"].shape[1] - 1).sum())
            count = int(written.sum())
            if empty:
                warnings.append(
                    f"the model wrote nothing for {empty:,} of {count:,} {split} inputs: train for "
                    "longer, or check the targets"
                )
            if full > count // 4:
                warnings.append(
                    f"{full:,} of {count:,} texts of the {split} split were cut off at "
                    f"--max-target-length: raise it, or train for longer so that the model learns "
                    "to stop"
                )
        return warnings, None


def _generate_arguments(settings: Mapping[str, Any]) -> str:
    """Arguments of `generate` that search as a run does, whatever the model's own settings are."""
    beams, drawn = settings.get("num_beams", 1), settings.get("temperature", 0)
    values = {
        "max_new_tokens": settings.get("max_target_length", 128),
        "do_sample": drawn > 0,
        "num_beams": beams,
        # What published models may set otherwise.
        "no_repeat_ngram_size": settings.get("no_repeat_ngram_size", 0),
        "encoder_no_repeat_ngram_size": 0,
        "repetition_penalty": 1.0,
        "min_new_tokens": 0,  # In place of a least length, too.
        "early_stopping": False,
        "use_cache": True,
    }
    if beams > 1:
        values["length_penalty"] = settings.get("length_penalty", 1.0)
    if drawn > 0:
        values |= {"temperature": drawn, "top_k": settings.get("sample_top_k") or 0}
        values["top_p"] = settings.get("sample_top_p") or 1.0
    if (first := settings.get("first_token_id")) is not None:
        values["forced_bos_token_id"] = first
    if (start := settings.get("start_token_id")) is not None:
        values["decoder_start_token_id"] = start
    values["eos_token_id"] = list(settings.get("end_token_ids") or [])
    lines = [f"        {name}={value!r}," for name, value in values.items()]
    return "\n".join([*lines, "        pad_token_id=tokenizer.pad_token_id,"])
