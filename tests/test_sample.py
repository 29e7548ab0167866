"""The embedded sample: sizes, determinism, no leaks between splits, and not too easy."""

import hashlib
import json
from collections import Counter

import pytest

from lowcost_ft.data.sample import sample_entity_messages
from lowcost_ft.data.sample_dialogues import sample_dialogues
from lowcost_ft.data.sample_summaries import sample_summaries
from lowcost_ft.data.sample_translations import sample_translations
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.ner.tagging import split_words, tags_to_spans

ENTITY_TYPES = {"person", "organisation", "product", "place", "order_number", "date", "money"}
SPLITS = ("train", "validation", "test")

# Changing the sample changes every score quoted for it: these say that it was on purpose.
DIGESTS = {
    "classification": "16b618ed9e62e4a577e6383de3d0ad0930eedf4b05d5e6ceee6db4b4a11b1559",
    "ner": "04453666fc721ccbcc5186e623c17e18220aa227c19229da2a1015a953dc57fc",
}


@pytest.fixture(scope="module")
def intents():
    return task_class("classification").sample_rows()


@pytest.fixture(scope="module")
def entities():
    return task_class("ner").sample_rows()


def texts(rows):
    return [row.get("text") or " ".join(row["tokens"]) for row in rows]


def names(rows, label=None):
    return {
        " ".join(row["tokens"][start:end]).casefold()
        for row in rows
        for start, end, found in tags_to_spans(row["tags"])
        if label in (None, found)
    }


@pytest.mark.parametrize("task", ["classification", "ner"])
def test_rows_are_the_same_everywhere(task):
    text = json.dumps(task_class(task).sample_rows(), ensure_ascii=True, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest() == DIGESTS[task]
    assert json.dumps(task_class(task).sample_rows(), ensure_ascii=True, sort_keys=True) == text


@pytest.mark.parametrize("task", ["classification", "ner"])
def test_sizes(task):
    rows = task_class(task).sample_rows()
    assert tuple(rows) == SPLITS
    assert len(rows["train"]) >= 600
    assert len(rows["validation"]) >= 150
    assert len(rows["test"]) >= 250


@pytest.mark.parametrize("task", ["classification", "ner"])
def test_no_message_occurs_twice(task):
    rows = task_class(task).sample_rows()
    # Casing and punctuation aside, so that training does not hold a test message in another guise.
    keys = [
        "".join(character for character in text.casefold() if character.isalnum())
        for split in SPLITS
        for text in texts(rows[split])
    ]
    assert len(set(keys)) == len(keys)


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ValueError, match="known: ner, classification"):
        task_class("parsing")


def test_every_intent_is_in_every_split_and_none_dominates(intents):
    counts = {split: Counter(row["label"] for row in intents[split]) for split in SPLITS}
    assert set(counts["train"]) == set(counts["validation"]) == set(counts["test"])
    assert 10 <= len(counts["train"]) <= 12
    assert min(counts["train"].values()) >= 50
    assert min(counts["test"].values()) >= 12
    majority = counts["train"].most_common(1)[0][0]
    assert counts["test"][majority] / len(intents["test"]) < 0.2


def test_intents_cannot_be_told_by_a_word(intents):
    """Naive voting by the words seen in training stays far from solving the task."""
    seen: dict[str, Counter[str]] = {}
    for row in intents["train"]:
        for word in set(row["text"].lower().split()):
            seen.setdefault(word, Counter())[row["label"]] += 1
    right = 0
    for row in intents["test"]:
        votes: Counter[str] = Counter()
        for word in set(row["text"].lower().split()):
            total = sum(seen.get(word, Counter()).values())
            for label, count in seen.get(word, Counter()).items():
                votes[label] += count / total
        right += bool(votes) and votes.most_common(1)[0][0] == row["label"]
    assert 0.3 < right / len(intents["test"]) < 0.85


def test_tags_are_iob2_and_tokens_follow_the_splitting_rule(entities):
    for split in SPLITS:
        for row in entities[split]:
            assert len(row["tokens"]) == len(row["tags"]) > 0
            for token in row["tokens"]:
                assert split_words(token) == [(0, len(token))]
            for previous, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
                assert tag == "O" or tag[2:] in ENTITY_TYPES
                assert not tag.startswith("I-") or previous[2:] == tag[2:]


def test_running_text_and_tags_agree(entities):
    messages = sample_entity_messages()
    for split in SPLITS:
        for message, row in zip(messages[split], entities[split], strict=True):
            text = message["text"]
            offsets = split_words(text)
            assert [text[start:end] for start, end in offsets] == row["tokens"]
            spans = [
                {"start": offsets[start][0], "end": offsets[end - 1][1], "label": label}
                for start, end, label in tags_to_spans(row["tags"])
            ]
            assert spans == message["entities"]  # no span was widened


def test_every_type_is_common_and_half_of_its_test_names_are_new(entities):
    for label in ENTITY_TYPES:
        train, test = names(entities["train"], label), names(entities["test"], label)
        assert len(train) >= 20
        assert len(test - train) / len(test) > 0.5, label


def test_some_words_belong_to_several_types(entities):
    for split in ("train", "test"):
        types: dict[str, set[str]] = {}
        for label in ENTITY_TYPES:
            for name in names(entities[split], label):
                types.setdefault(name, set()).add(label)
        assert sum(len(found) > 1 for found in types.values()) >= 5


def test_a_dictionary_of_training_names_finds_little(entities):
    """Looking names up, without reading the sentence, is no solution."""
    by_name: dict[str, Counter[str]] = {}
    for row in entities["train"]:
        for start, end, label in tags_to_spans(row["tags"]):
            name = " ".join(row["tokens"][start:end]).casefold()
            by_name.setdefault(name, Counter())[label] += 1
    spans = [
        (" ".join(row["tokens"][start:end]).casefold(), label)
        for row in entities["test"]
        for start, end, label in tags_to_spans(row["tags"])
    ]
    found = sum(
        name in by_name and by_name[name].most_common(1)[0][0] == label for name, label in spans
    )
    assert found / len(spans) < 0.5


def test_messages_vary_in_length_casing_and_content(entities, intents):
    for rows in (entities["train"], intents["train"]):
        lengths = [len(text.split()) for text in texts(rows)]
        assert min(lengths) <= 6
        assert max(lengths) >= 25
        assert any(text.isupper() for text in texts(rows))
        assert sum(text.islower() for text in texts(rows)) > 0.1 * len(rows)
    assert sum(set(row["tags"]) == {"O"} for row in entities["train"]) > 0.05 * len(rows)


def test_relations_of_the_sample_join_entities_of_their_text():
    rows = task_class("relation").sample_rows()
    seen = set()
    for split in SPLITS:
        labels = Counter(r["label"] for row in rows[split] for r in row["relations"])
        assert len(labels) == 6 and min(labels.values()) >= 5, (split, labels)
        for row in rows[split]:
            seen.add(row["text"].casefold())
            places = [row["text"][e["start"] : e["end"]] for e in row["entities"]]
            assert all(place and place == place.strip() for place in places)
            ids = [entity["id"] for entity in row["entities"]]
            assert ids == list(range(len(ids)))
            for relation in row["relations"]:
                assert relation["head"] != relation["tail"]
                assert {relation["head"], relation["tail"]} <= set(ids)
    assert len(seen) == sum(map(len, rows.values()))
    assert rows == task_class("relation").sample_rows()


WRITTEN = {
    "translations": sample_translations,
    "summaries": sample_summaries,
    "dialogues": sample_dialogues,
}
WRITTEN_DIGESTS = {
    "translations": "0f8c02f303b2950602cea26882463cc3085a1270440e25ed3ea9441a5bbea330",
    "summaries": "c0dfae44cf20e1fc4703efde8ebca5e65b16a88c6d97b15ffa00778666c061b3",
    "dialogues": "5445e4b26f9f1ae34f4be967a67983209288bde04c3b60f0ec0393234cd81390",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_rows_to_write_are_the_same_everywhere_and_occur_once(name):
    rows = WRITTEN[name]()
    assert tuple(rows) == SPLITS
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    assert digest == WRITTEN_DIGESTS[name]
    everything = [row for split in SPLITS for row in rows[split]]
    assert len({row["id"] for row in everything}) == len(everything)
    inputs = {json.dumps(row.get("source") or row["messages"]) for row in everything}
    assert len(inputs) == len(everything)


def test_test_translations_combine_what_training_has_in_another_way():
    rows = sample_translations()
    words = {
        split: {
            word.strip(".").casefold()
            for row in rows[split]
            for word in row["target"].split()
            if not word.strip(".").isdecimal()
        }
        for split in SPLITS
    }
    assert words["test"] <= words["train"] and words["validation"] <= words["train"]
    assert {"Mon horloge ne fonctionne plus."} <= {row["target"] for row in rows["train"]}


def test_the_last_turn_of_a_dialogue_is_the_assistants():
    for rows in sample_dialogues().values():
        for row in rows:
            roles = [message["role"] for message in row["messages"]]
            assert roles[0] == "system" and roles[1:] == ["user", "assistant"] * (len(roles) // 2)
