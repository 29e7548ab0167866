"""What a model for question answering is and does, in words and in code."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import RunRecord, TaskCard

__all__ = ["EXAMPLE_CONTEXT", "EXAMPLE_QUESTION", "QuestionTelling"]

EXAMPLE_QUESTION = "How long does the battery of the lamp last?"
EXAMPLE_CONTEXT = (
    "Charge the lamp for two hours before you use it for the first time. The battery then lasts "
    "for nine hours."
)


class QuestionTelling(Task):
    """The part of the task that speaks to people."""

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """Its words in a model card."""
        limits = [
            f"It reads a question and a text in windows of {max_length} tokens; an answer has at "
            f"most {_longest_answer(run)} tokens and stands in the text word for word."
        ]
        if run.get("thresholds"):
            chosen = "was not chosen, since no validation split had questions without an answer"
            if "unanswerable" in ((run.get("evaluation") or {}).get("validation") or {}):
                chosen = (
                    "was chosen on the validation split, whose score is therefore a little too high"
                )
            limits.append(
                "It gives no answer where that scores more than "
                f"{run['thresholds'][0]:.3g} above the best one. That threshold {chosen} "
                "(`lowcost-ft predict --null-threshold` changes it)."
            )
        else:
            limits.append(
                "It was trained on questions that their text answers, and gives an answer to any "
                "question (`lowcost-ft predict --null` allows none)."
            )
        return TaskCard(
            goal="finds the answer to a question in a text",
            unit="questions",
            score_note=(
                "Whole articles were drawn, since the questions about one are not independent. "
                "Exact match and F1 are counted as the SQuAD scripts do."
            ),
            example=EXAMPLE_QUESTION,
            limits=limits,
        )

    @classmethod
    def script_example(cls, run: RunRecord) -> str | None:
        """A question and its text."""
        return json.dumps([EXAMPLE_QUESTION, EXAMPLE_CONTEXT])[1:-1]

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that answers a question with `model` and `tokenizer`."""
        decoder = run.get("pad_token_id") is not None
        question = 'question + "\\n"' if decoder else "question"
        # A decoder has a token at the end of each window, which says that there is no answer.
        length = max_length - 1 if decoder else max_length
        ended, more, shown = "", "", "print(answer)"
        if run.get("thresholds"):
            place = -1 if decoder else 0
            threshold = float(run["thresholds"][0])
            shown = f"""no_answer = (outputs.start_logits + outputs.end_logits)[0, {place}]
print("(no answer)" if no_answer - scores.max() > {threshold!r} else answer)"""
        if decoder and run.get("thresholds"):
            more = " + [True]"
            ended = """
end = tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
inputs["input_ids"] = torch.nn.functional.pad(inputs["input_ids"], (0, 1), value=end)
inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])"""
        call = "model(**inputs)"
        if run["method"] != "full" and not run.get("merged_from"):
            # The forward pass of peft's class for this task (0.21) drops them.
            call = "model.base_model(**inputs)  # model(**inputs) would lose token_type_ids"
        return f'''question = "{EXAMPLE_QUESTION}"
context = (
    "Charge the lamp for two hours before you use it for the first time. "
    "The battery then lasts for nine hours."
)
# transformers 5 has no pipeline for this. A longer text must be cut into windows.
inputs = tokenizer(
    {question},
    context,
    truncation="only_second",
    max_length={length},
    return_offsets_mapping=True,
    return_tensors="pt",
)
offsets = inputs.pop("offset_mapping")[0].tolist()
outside = torch.tensor([part != 1 for part in inputs.sequence_ids(0)]{more}){ended}
with torch.inference_mode():
    outputs = {call}
starts = outputs.start_logits[0].masked_fill(outside, -1e9)
ends = outputs.end_logits[0].masked_fill(outside, -1e9)
too_long = torch.ones(len(starts), len(ends)).triu().tril({_longest_answer(run) - 1}) == 0
scores = (starts[:, None] + ends).masked_fill(too_long, -1e9)
first, last = divmod(int(scores.argmax()), len(ends))
answer = context[offsets[first][0] : offsets[last][1]]
{shown}'''

    @staticmethod
    def too_long(limit: str) -> str:
        """Texts are cut into windows; only a question can be too long."""
        return f"questions fill more than half of {limit}"

    @staticmethod
    def lost_when_cut(end: str) -> str:
        """The end of the question, whichever end of a text the tokenizer cuts."""
        return "their end"

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with a question that shows what a new run does."""
        return ["--question", EXAMPLE_QUESTION, "--context", EXAMPLE_CONTEXT]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal: the question, then the answers with score and place."""
        title = answer["question"]
        if "id" in answer:
            title = f"[{answer['id']}] {title}"
        lines = [title]
        if answer["answer"] is None:
            return "\n".join([title, f"  {answer['score']:.2f}  (withheld)"])
        for one in answer.get("answers") or [answer]:
            score = "    " if one["score"] is None else f"{one['score']:.2f}"
            place = f"{one['start']}-{one['end']}"
            text = " ".join(one["answer"].split())
            lines.append(f"  {score}  {place:>11}  {text}" if text else f"  {score}  (no answer)")
        return "\n".join(lines)

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """See `Task.doubts`."""
        if not any(example.answers for example in examples):
            return [
                f"no question of the {split} split has an answer, so its scores say little about "
                "the model: give a file that holds some"
            ], None
        if scores[self.metric] == 0:
            return [], f"the model answered none of the questions of the {split} split"
        never = sum(not example.answers for example in examples) / len(examples)
        if scores[self.metric] <= never:
            return [], (
                f"on the {split} split the model is no better than never giving an answer "
                f"(F1 {never:.3f})"
            )
        return [], None


def _longest_answer(run: RunRecord) -> int:
    return int((run.get("config") or {}).get("max_answer_tokens") or 30)
