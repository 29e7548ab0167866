"""`lowcost-ft chat`: replies are those of `predict`, turn after turn, for people and programs."""

import io
import json
import sys

import pytest
from small_runs import dialogue_rows, pair_rows

import lowcost_ft as ft
from lowcost_ft.commands import chat
from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.conversation import Conversation

FIRST, SECOND = "where is my lamp?", "and my desk?"


def trained(task, rows, folder, model):
    config = ft.RunConfig(
        task=task,
        model_id=model,
        output_dir=str(folder),
        max_steps=2,
        batch_size=4,
        max_length=96,
        max_target_length=8,
        generated_validation_rows=0,
        chat_template="plain",
    )
    with ft.start_run(config) as run:
        data = ft.load_data(run, train=rows)
        built = ft.build(run, data)
        result = ft.train(run, built, data)
        return str(ft.save(run, built, data, result, ft.evaluate(run, built, data, result)))


@pytest.fixture(scope="module")
def talking(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("chat") / "run"
    return trained("dialogue", dialogue_rows(12), folder, tiny_model("llama"))


def say(monkeypatch, capsys, run, text, *flags):
    """Exit code, standard output and standard error of `chat` with this standard input."""
    data = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8"))
    capsys.readouterr()
    code = main(["chat", run, *flags])
    found = capsys.readouterr()
    return code, found.out, found.err


def written(run, turns):
    """What `predict` replies to a conversation."""
    predictor = ft.load_predictor(run)
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
    from lowcost_ft.config.reading import ReadingOptions
    from lowcost_ft.data.python_rows import read_python_rows

    rows = read_python_rows([{"messages": messages}], "test", [])
    examples = predictor.task.read(rows, ReadingOptions(), problems=[], notices=[], labelled=False)
    return predictor.predict(examples)[0]["written"]


def test_replies_are_those_of_predict_and_turns_are_remembered(talking, monkeypatch, capsys):
    text = f"{FIRST}\n\n{SECOND}\n/new\n{SECOND}\n"
    code, out, _ = say(monkeypatch, capsys, talking, text, "--json")
    assert code == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["content"] for answer in answers] == [FIRST, SECOND, SECOND]
    assert [answer["turns"] for answer in answers] == [2, 4, 2]
    replies = [answer["reply"] for answer in answers]
    assert replies[0] == written(talking, [FIRST])
    assert replies[1] == written(talking, [FIRST, replies[0], SECOND])
    assert replies[2] == written(talking, [SECOND])
    code, out, err = say(monkeypatch, capsys, talking, f"{FIRST}\n/exit\n{SECOND}\n")
    assert (code, out) == (0, replies[0] + "\n")
    assert "Talking" not in err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_person_is_greeted_and_may_stop_a_reply(talking, monkeypatch, capsys, flags):
    lines = iter([FIRST, "", SECOND])

    def typed(prompt):
        print(prompt, end="")  # As Python does it where standard output is a file.
        if (line := next(lines, None)) is None:
            raise EOFError
        return line

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", typed)
    original, stopped = Conversation.reply, []

    def reply(self, text):
        pieces = original(self, text)
        if text == SECOND:
            yield "a"
            stopped.append(self.turns)
            raise KeyboardInterrupt
        yield from pieces

    monkeypatch.setattr(Conversation, "reply", reply)
    capsys.readouterr()
    assert main(["chat", talking, *flags]) == 0
    found = capsys.readouterr()
    assert "/new forgets what was said" in found.err and "[stopped]" in found.err
    assert found.err.count("> ") == 4 and stopped  # Standard output is no terminal here.
    if flags:
        assert [json.loads(line)["content"] for line in found.out.splitlines()] == [FIRST, SECOND]
        assert json.loads(found.out.splitlines()[1])["reply"] == "a"
    else:
        assert found.out.endswith("\na\n")


def test_a_reply_that_is_stopped_stays_in_the_conversation_as_far_as_it_came(talking):
    conversation = Conversation(ft.load_predictor(talking), system="Be brief.")
    whole = "".join(conversation.reply(FIRST))
    assert conversation.turns == [
        ("system", "Be brief."),
        ("user", FIRST),
        ("assistant", whole),
    ]
    conversation.start_again()
    pieces = conversation.reply(FIRST)
    start = next(pieces)
    pieces.close()
    assert whole.startswith(start)
    assert conversation.turns[-1] == ("assistant", start)


def test_turns_without_room_are_left_out_and_this_is_told_once(talking, monkeypatch, capsys):
    long = "where is my blue lamp from the shop in Oslo? " * 2
    code, out, err = say(monkeypatch, capsys, talking, f"{long}\n{long}\n{long}\n", "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert "oldest_left_out" not in answers[0] and answers[-1]["oldest_left_out"]
    assert err.count("the oldest turns have no room in the run's --max-length 96") == 1


def test_a_turn_that_is_too_long_by_itself_is_told_as_such(talking, monkeypatch, capsys):
    long = "where is my blue lamp from the shop in Oslo? " * 9
    code, out, err = say(monkeypatch, capsys, talking, f"{long}\n", "--json")
    answer = json.loads(out)
    assert code == 0 and answer["beginning_left_out"] and "oldest_left_out" not in answer
    assert "the beginning of this turn has no room" in err and "oldest turns" not in err


def test_drawn_replies_differ_from_turn_to_turn_and_repeat_with_the_seed(
    talking, monkeypatch, capsys
):
    text, flags = f"{FIRST}\n/new\n{FIRST}\n", ("--temperature", "1.5", "--json")
    once = say(monkeypatch, capsys, talking, text, *flags)[1]
    replies = [json.loads(line)["reply"] for line in once.splitlines()]
    assert replies[0] != replies[1]
    assert once == say(monkeypatch, capsys, talking, text, *flags)[1]
    assert once != say(monkeypatch, capsys, talking, text, *flags, "--generation-seed", "9")[1]


def test_what_cannot_be_is_refused(talking, tmp_path, tiny_model, monkeypatch, capsys):
    code, _, err = say(monkeypatch, capsys, talking, b"caf\xe9\n")
    assert code == 2 and "standard input:1: is not UTF-8" in err
    # Windows marks the encoding in front of what it pipes.
    marked = say(monkeypatch, capsys, talking, "\ufeffa\n", "--json")[1]
    assert json.loads(marked)["content"] == "a"
    code, _, err = say(monkeypatch, capsys, talking, "a\n", "--system", " ")
    assert code == 2 and "--system is empty" in err
    code, _, err = say(monkeypatch, capsys, talking, "a\n", "--num-beams", "0")
    assert code == 2 and "num-beams" in err
    other = trained("translation", pair_rows(12), tmp_path / "other", tiny_model("llama"))
    code, _, err = say(monkeypatch, capsys, other, "a\n")
    assert code == 2 and "does not talk: use `lowcost-ft predict`" in err
    with pytest.raises(UserError):
        Conversation(ft.load_predictor(other))
    assert chat.Chat.__doc__
