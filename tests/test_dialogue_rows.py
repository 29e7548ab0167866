"""Conversations, instructions and prompts, as people have them, become messages with roles."""

import json

import pytest

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.dialogues import read_dialogues
from lowcost_ft.data.python_rows import read_python_rows
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.sample_dialogues import sample_dialogues
from lowcost_ft.tasks.loading import load_splits


def dialogues(rows, **options):
    problems: list[str] = []
    notices: list[str] = []
    read = read_dialogues(
        read_python_rows(rows, "train", problems), problems=problems, notices=notices, **options
    )
    return [row.values for row in read], problems, notices


def turns(*texts, system=None):
    found = [] if system is None else [{"role": "system", "content": system}]
    roles = ("user", "assistant")
    return found + [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


HELLO = turns("Hello", "Hi!")
REPLIED = {"messages": HELLO, "references": ["Hi!"]}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": HELLO}, REPLIED),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Hello"},
                    {"from": "gpt", "value": "Hi!"},
                ]
            },
            REPLIED,
        ),
        ({"messages": json.dumps(HELLO)}, REPLIED),
        ({"dialog": ["Hello", "Hi!"]}, REPLIED),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
                    HELLO[1],
                ]
            },
            REPLIED,
        ),
        ({"instruction": "Hello", "input": "", "output": "Hi!"}, REPLIED),
        (
            {"instruction": "Translate", "input": "Hi!", "output": "Salut", "system": "Be kind."},
            {
                "messages": turns("Translate\n\nHi!", "Salut", system="Be kind."),
                "references": ["Salut"],
            },
        ),
        (
            {"instruction": "And now?", "output": "Wait.", "history": [["Hello", "Hi!"]]},
            {"messages": turns("Hello", "Hi!", "And now?", "Wait."), "references": ["Wait."]},
        ),
        (
            {"instruction": "Why?", "output": "No idea.", "history": '[["Hello", "Hi!"]]'},
            {"messages": turns("Hello", "Hi!", "Why?", "No idea."), "references": ["No idea."]},
        ),
        ({"prompt": "Hello", "completion": "Hi!"}, REPLIED),
        ({"prompt": [{"role": "system", "content": ""}], "chosen": HELLO}, REPLIED),
        ({"prompt": HELLO[:1], "completion": HELLO[1:]}, REPLIED),
        ({"question": "Hello", "answer": "Hi!"}, REPLIED),
        ({"query": "Hello", "response": "Hi!"}, REPLIED),
        ({"User": "Hello", "Assistant": "Hi!"}, REPLIED),
        ({"Instruction": "Hello", "Output": "Hi!"}, REPLIED),
        ({"instruction": "Be kind.", "messages": HELLO}, REPLIED),
        ({"prompt": "Hello", "chosen": HELLO, "rejected": HELLO[:1]}, REPLIED),
        (
            {"prompt": turns("Hello", system="Be kind.")[:2], "chosen": HELLO},
            {"messages": turns("Hello", "Hi!", system="Be kind."), "references": ["Hi!"]},
        ),
        ({"messages": [{"role": "system", "content": ""}, *HELLO]}, REPLIED),
        (
            {"context": '["I left", "Why?", "No idea"]', "response": "Hm"},
            {"messages": turns("I left", "Why?", "No idea", "Hm"), "references": ["Hm"]},
        ),
        (
            {"context": ["Hello"], "responses": ["Hi!", "Good day"]},
            {"messages": HELLO, "references": ["Hi!", "Good day"]},
        ),
        (
            {"context": ["I left", "Why?", "No idea"], "responses": ["Hm"]},
            {"messages": turns("I left", "Why?", "No idea", "Hm"), "references": ["Hm"]},
        ),
        (
            {"id": 3, **REPLIED, "references": ["Hey"]},
            {"id": 3, **REPLIED, "references": ["Hi!", "Hey"]},
        ),
    ],
)
def test_every_layout_of_dialogues_is_read(row, expected):
    rows, problems, _ = dialogues([row])
    assert problems == []
    assert rows == [expected]


def test_the_sample_and_files_are_read(tmp_path):
    sample = sample_dialogues()["train"]
    rows, problems, notices = dialogues(sample)
    assert not problems and not notices
    assert [row["messages"] for row in rows] == [row["messages"] for row in sample]
    path = tmp_path / "a.csv"
    path.write_text('prompt,completion\nHello,Hi!\n"One\ntwo",Three\n', "utf-8")
    problems, notices = [], []
    read = read_rows(str(path), problems, notices, ReadingOptions())
    found = read_dialogues(read, problems=problems, notices=notices)
    assert not problems
    assert [row.source for row in found] == [f"{path}:2", f"{path}:3"]
    assert found[1].values["messages"] == turns("One\ntwo", "Three")


def test_several_replies_may_be_json_in_a_cell_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('context,responses\n"[""Hello""]","[""Hi!"", ""Hey""]"\n', "utf-8")
    problems, notices = [], []
    read = read_rows(str(path), problems, notices, ReadingOptions())
    found = read_dialogues(read, problems=problems, notices=notices)
    assert not problems and found[0].values["messages"] == turns("Hello", "Hi!")
    assert found[0].values["references"] == ["Hi!", "Hey"]


def test_what_is_changed_is_told_with_its_count_and_first_place():
    thanks = {"role": "user", "content": "Thanks"}
    rows, problems, notices = dialogues(
        [
            {"messages": HELLO},
            {"messages": [HELLO[0], HELLO[0], HELLO[1], thanks]},
            {"messages": [HELLO[0], {**HELLO[1], "weight": 0}, thanks]},
            {"messages": [{"role": "system", "content": None}, *HELLO]},
        ]
    )
    assert not problems
    assert rows[1]["messages"] == turns("Hello\n\nHello", "Hi!")
    told = "\n".join(notices)
    assert "1 row in which turns of one speaker that follow each other were joined" in told
    assert (
        "2 rows whose turns after the assistant's last one were left out, first at train:row 2"
        in told
    )
    assert "1 row whose system turn is empty, and is left out, first at train:row 4" in told
    assert '1 row with turns whose "weight" is not read, first at train:row 3' in told


def test_other_right_replies_may_be_missing_in_some_rows():
    rows, problems, _ = dialogues(
        [{**REPLIED, "references": ["Hey"]}, {"messages": HELLO}, {**REPLIED, "references": None}]
    )
    assert not problems
    assert [row["references"] for row in rows] == [["Hi!", "Hey"], ["Hi!"], ["Hi!"]]


def test_a_dialogue_to_answer_ends_with_the_user():
    rows, problems, notices = dialogues(
        [{"messages": HELLO}, {"messages": HELLO[:1]}], labelled=False
    )
    assert not problems
    assert rows == [{"messages": HELLO[:1]}] * 2
    assert "1 row whose turns after the user's last one were left out" in notices[0]
    assert dialogues([{"text": "Hello"}], labelled=False)[0] == [{"messages": HELLO[:1]}]
    assert dialogues([{"context": ["Hello"]}], labelled=False)[0] == [{"messages": HELLO[:1]}]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"messages": "Hello"}, '"messages" is "Hello"; it must be a list of turns'),
        ({"messages": None}, '"messages" is missing; it must be a list of turns'),
        ({"messages": []}, "must be a list of turns"),
        ({"messages": "[{"}, "is broken JSON"),
        ({"messages": ["Hello", 7]}, "turn 1, must be an object"),
        ({"messages": ["Hello", " "]}, "turn 2, is an empty text"),
        ({"messages": [{"role": "user"}]}, 'turn 1, has no "content"'),
        ({"messages": [{"role": "tool", "content": "7"}]}, 'has the role "tool"; known: system'),
        ({"messages": [{**HELLO[1], "tool_calls": [{}]}]}, "calls a tool"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
            'has parts of the type "image", and only text is read',
        ),
        ({"messages": [{"role": "user", "content": None}]}, '"content" is missing'),
        ({"messages": HELLO[:1]}, "the assistant says nothing"),
        ({"messages": HELLO[1:]}, "the user says nothing"),
        ({"messages": [*HELLO, *turns(system="Be kind.")]}, "a system turn stands after others"),
        ({"instruction": 7, "output": "a"}, '"instruction" is the number'),
        ({"instruction": "a", "output": ""}, '"output" is an empty text'),
        ({"instruction": "a", "input": 5, "output": "b"}, '"input" must be a text'),
        ({"instruction": "a", "output": "b", "history": 5}, '"history" must be a list of pairs'),
        ({"instruction": "a", "output": "b", "history": {}}, '"history" must be a list of pairs'),
        ({"instruction": "a", "output": "b", "history": "[["}, '"history" is broken JSON'),
        (
            {"instruction": "a", "output": "b", "history": [["c", " "]]},
            '"history", pair 1, is an empty text',
        ),
        ({"prompt": "a", "completion": None}, '"completion" is missing'),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]},
            'turn 1, "content" has a part without "text"',
        ),
        ({"one": "a", "two": "b"}, "no column of messages (--messages-column)"),
        ({**REPLIED, "references": [""]}, '"references" is an empty text'),
        ({**REPLIED, "system": 7}, '"system" is the number'),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "half a surrogate pair"),
    ],
)
def test_what_is_wrong_is_told_with_its_row(row, told):
    _, problems, _ = dialogues([row])
    assert len(problems) == 1 and told in problems[0], problems
    assert "train" in problems[0]


def test_a_system_turn_that_a_column_repeats_is_read_once():
    said = [{"role": "system", "content": "Be kind."}, *turns("Hello", "Hi!")]
    rows, problems, notices = dialogues([{"messages": said, "system": "Be kind. "}])
    assert rows[0]["messages"] == said and not problems and not notices
    rows, _, notices = dialogues([{"messages": said, "system": "Be brief."}])
    assert rows[0]["messages"][0]["content"] == "Be brief.\n\nBe kind." and notices


def rows_of_replies(number, replies=3):
    """A conversation as several rows: each holds a reply and all that was said before."""
    texts = [f"{what} {number} {n}" for n in range(replies) for what in ("question", "answer")]
    said = ["Hello", "How can I help?", *texts]
    return [{"messages": turns(*said[: 2 * end])} for end in range(1, replies + 2)]


def test_a_conversation_of_several_rows_is_validated_or_learned_as_a_whole():
    rows = [row for number in range(6) for row in rows_of_replies(number)[1:]]
    splits = load_splits("dialogue", rows={"train": rows}, validation_share=0.3)
    held = [[text for _, text in example.turns][2] for example in splits.validation]
    assert len(held) == 6 and len(set(held)) == 2
    assert any("18 training rows" in n and "same conversation" in n for n in splits.notices)
    assert not any("also occur in training" in notice for notice in splits.notices)
    # A greeting, from which every conversation goes on, is none of them.
    greeted = [row for number in range(6) for row in rows_of_replies(number)]
    found = []
    for seed in range(4):
        splits = load_splits("dialogue", rows={"train": greeted}, validation_share=0.3, seed=seed)
        found.append([e.turns[2] for e in splits.validation if len(e.turns) > 2])
    assert any(found) and all(held.count(turn) == 3 for held in found for turn in held)


def test_replies_that_are_learned_inside_of_a_longer_conversation_are_told():
    train, other = rows_of_replies(1), rows_of_replies(2)
    rows = {"train": train[-1:], "validation": [other[-1]], "test": [train[2], other[2]]}
    notices = load_splits("dialogue", rows=rows).notices
    assert any("1 of the 2 test inputs also occur in training" in notice for notice in notices)
