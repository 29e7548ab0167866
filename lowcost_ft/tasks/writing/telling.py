"""What a model that writes text is and does, in words and in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import RunRecord, TaskCard

__all__ = ["WritingTelling"]


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
        return TaskCard(
            goal=cls.goal,
            unit=cls.unit,
            score_note=(
                "Perplexity is that of the reference, without the token that ends it; the other "
                "scores compare what the model wrote with all references."
            ),
            example=cls.sample_text,
            limits=[
                f"It writes at most {target} tokens. What it writes can be wrong however well it "
                "reads: it may leave out, add and invent.",
                "It was trained with one prompt, which is in `run.json` under `writing` and in the "
                "tokenizer's chat template; with another one it may write worse.",
            ],
        )

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that writes with `model` and `tokenizer`."""
        settings = run.get("writing") or {}
        shown = [{"role": "user", "content": cls.prompt_text(settings, cls.sample_text)}]
        target = settings.get("max_target_length", 128)
        return f"""messages = {shown!r}
# With a reply in its place, to cut the prompt off where it begins.
marked = [*messages, {{"role": "assistant", "content": "REPLY"}}]
text = tokenizer.apply_chat_template(marked, tokenize=False, enable_thinking=False)
prompt = text[: text.rindex("REPLY")]
inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
with torch.inference_mode():
    written = model.generate(
        **inputs,
        max_new_tokens={target},
        do_sample=False,
        eos_token_id={list(settings.get("end_token_ids") or [])},
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )
new = written[0, inputs["input_ids"].shape[1] :]
print(tokenizer.decode(new, skip_special_tokens=True).strip())"""

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
            empty = int((predictions["tokens"][written] == 0).all(axis=1).sum())
            full = int((predictions["tokens"][written] > 0).all(axis=1).sum())
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
