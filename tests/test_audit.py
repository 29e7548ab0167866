"""`lowcost-ft audit`: texts about other people, what is found in them, and what is not."""

import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import call_recipe, flags, forget_precision, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.audit.answer import audit_text
from lowcost_ft.audit.audits import LEVEL, AuditOptions, audit, check_task
from lowcost_ft.audit.groups import Attribute, packaged_attributes, read_attributes
from lowcost_ft.audit.limits import limits
from lowcost_ft.audit.mentions import Finder
from lowcost_ft.audit.significance import holm, over_texts, over_words
from lowcost_ft.audit.versions import versions_of
from lowcost_ft.commands.main import main
from lowcost_ft.data.text_edits import SpannedText
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.tasks import task_class

PACKAGED = {attribute.name: attribute for attribute in packaged_attributes()}
TEXTS = task_class("classification").for_planning(["no", "yes"])


def found_in(attribute, *texts, **options):
    options = {"add_sentences": False, "seed": 0} | options
    return versions_of(TEXTS, TEXTS.read_texts(list(texts), None), attribute, **options)


def other_text(attribute, text, group):
    (found,) = found_in(attribute, text).texts
    return next(one.example.text for one in found.versions if one.group == group)


@pytest.mark.parametrize(
    ("name", "text", "group", "changed"),
    [
        ("gender", "He told her his card is hers.", "female", "She told him her card is his."),
        ("gender", "HE SAID: HIS CARD. He's sure.", "female", "SHE SAID: HER CARD. She's sure."),
        ("gender", "I saw her. Her card, too.", "male", "I saw him. His card, too."),
        ("gender", "an uncle and his man", "female", "an aunt and her woman"),
        ("gender", "I know her well, her in-laws", "male", "I know him well, his in-laws"),
        ("gender", "I love her very much", "male", "I love him very much"),
        ("gender", "thank her, her very own card", "male", "thank him, his very own card"),
        ("gender", "his to-do list, his isn't", "female", "her to-do list, hers isn't"),
        ("gender", "Mr. Berg met an actor, a man", "female", "Ms. Berg met an actor, a woman"),
        ("nationality", "An American met a German", "German", "A German met an American"),
        ("nationality", "Germany is big", "American", "America is big"),
        ("age", "an 18-year-old and a teenager", "old", "a 66-year-old and a pensioner"),
        ("age", "men aged 30, a 25-year-old son", "old", "men aged 78, a 73-year-old son"),
        ("religion", "the MOSQUE", "Christian", "the CHURCH"),
        ("gender (Chinese)", "他们说其他人喜欢他的吉他", "female", "她们说其他人喜欢她的吉他"),
        ("nationality (Chinese)", "今日本店来了日本人", "German", "今日本店来了德国人"),
        ("age (Chinese)", "年轻人和老年人", "old", "老年人和年轻人"),
    ],
)  # fmt: skip
def test_a_text_is_the_same_about_another_group(name, text, group, changed):
    assert other_text(PACKAGED[name], text, group) == changed
    own = found_in(PACKAGED[name], text).texts[0].group
    assert other_text(PACKAGED[name], text, own) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gender", "his/her card in my mother tongue, on a freshman's day"),
        ("gender", "Mijn son heeft een man in het huis, maar ik niet"),
        ("nationality", "Polish the lamp near the Indian Ocean; she speaks German, I ate turkey"),
        ("gender (Chinese)", "其他吉他首先生成"),
        ("nationality (Chinese)", "道德国家 完美国度 印度洋"),
        ("gender of names (Chinese)", "国王伟大"),
        ("gender of names", "sarah@mail.com, @Sarah, Sarah-Jane and Sarahs"),
        ("origin of names", "From San Diego to St. Paul, then Port Elizabeth"),
        ("gender (Chinese)", "海外公司对外公布 老公寓 女士兵 利他"),
        ("age", "ham aged 18 months, beef aged 30 days, aged 21-28 days, cheese aged 24"),
        ("age", "a 25-year-old whisky, my 20 year old washing machine, the house is 80 years old"),
    ],
)
def test_words_that_mean_something_else_stay(name, text):
    assert not found_in(PACKAGED[name], text).texts


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Will you ask Will? I will.", [13]),
        ("May I come in May, on 5 May or May 6? Thanks, May", [46]),
        ("The Rose rose, said Rose to Mark", [20]),
        ("WILL IT? Mark the page", []),
    ],
)
def test_names_that_are_ordinary_words_are_told_by_where_they_stand(text, names):
    attribute = Attribute(
        name="x", groups={"a": {"": ("Will", "May")}, "b": {"": ("Rose",)}, "c": {"": ("Zoe",)}}
    )
    assert [one.start for one in Finder(attribute).mentions([SpannedText(text)])] == names
    inside = SpannedText("Will came", ((0, 4, "person"),))
    assert len(Finder(attribute).mentions([inside])) == 1


def test_her_that_could_be_either_is_left_out_and_counted():
    unsure = ("I gave her money", "We met her last year", "I like her more than him")
    found = found_in(PACKAGED["gender"], *unsure, "I lost her card", "I lost her last card")
    assert len(found.texts) == 2
    assert {why: len(where) for why, where in found.left_out.items()} == {
        '"her" or "his" could be either of two words': 3
    }


@pytest.mark.parametrize(
    ("text", "followed"),
    [
        ("Emily lost her card, Omar said to her", "{} lost his card, Omar said to him"),
        ("Mr Daniel met her", "Ms {} met her"),
        ("Emily said Sarah lost her card", None),
        ("Emily said Sarah paid", "{} said Sarah paid"),
    ],
)
def test_words_such_as_she_follow_a_name(text, followed):
    found = found_in(PACKAGED["gender of names"], text)
    if followed is None:
        assert not found.texts
        assert list(found.left_out) == ["it names several people whom a pronoun could mean"]
        return
    (one,) = found.texts
    for version in one.versions:
        expected = followed if version.group != one.group else version.example.text
        assert version.example.text == expected.format(version.word)


def test_names_are_dealt_evenly_and_never_one_that_is_there():
    origin = PACKAGED["origin of names"]
    names = origin.groups["English"]["female"]
    found = found_in(origin, *(f"{name} met Fatima, {name} said" for name in names))
    assert len(found.texts) == len(names)
    for text in found.texts:
        for version in text.versions:
            assert version.listed in origin.groups[version.group]["female"]
            assert version.listed != "Fatima"
            assert version.example.text.count(version.word) == 2
    dealt = [v.listed for text in found.texts for v in text.versions if v.group == "Indian"]
    counts = np.unique(dealt, return_counts=True)[1]
    assert len(counts) == 12
    assert counts.max() - counts.min() <= 1


def test_sentences_are_put_in_front_in_the_language_of_the_text():
    gender = found_in(
        PACKAGED["gender"], "where is my box", "你好我的包裹在哪里", add_sentences=True
    )
    (text,) = gender.texts
    assert [v.example.text for v in text.versions] == [
        "I am a man. where is my box",
        "I am a woman. where is my box",
    ]
    assert text.has_sentence
    age = found_in(PACKAGED["age (Chinese)"], "你好我的包裹在哪里", add_sentences=True)
    assert age.texts[0].versions[0].example.text == "我是年轻人。你好我的包裹在哪里"


@pytest.mark.parametrize("words", [True, False])
def test_the_span_of_a_replaced_name_follows(words):
    task = task_class("ner").for_planning(["O", "B-person", "I-person"])
    person = {"start": 4, "end": 14, "label": "person"}
    row = {"text": "Did Emily Berg see him?", "entities": [person]}
    if words:
        tags = ["O", "B-person", "I-person", "O", "O", "O"]
        row = {"tokens": ["Did", "Emily", "Berg", "see", "him", "?"], "tags": tags}
    example = _ner_example(row)
    (found,) = versions_of(
        task, [example], PACKAGED["gender of names"], add_sentences=False, seed=0
    ).texts
    for version in found.versions:
        (spanned,) = task.spanned_texts(version.example)
        ((start, end, label),) = spanned.spans
        assert (spanned.text[start:end], label) == (f"{version.word} Berg", "person")


def _ner_example(row):
    from lowcost_ft.config.reading import ReadingOptions
    from lowcost_ft.data.rows import Row
    from lowcost_ft.tasks.ner.examples import read_examples

    (example,) = read_examples([Row(row, "row")], ReadingOptions(), problems=[], notices=[])
    return example


def test_every_fault_of_a_groups_file_is_told_at_once(tmp_path):
    path = tmp_path / "groups.json"
    path.write_text(
        """{"one": {"a": ["Anna"]},
        "two": {"a": ["Anna", " Ruth"], "b": ["Omar", 3]},
        "three": {"groups": {"a": ["he", "him"], "b": ["she"]}, "matched": true, "wrong": 1},
        "four": {"a": ["Anna", "Eva", "eva"], "b": ["anna"]},
        "five": {"groups": {"a": {"x": ["A"]}, "b": {"y": ["B"]}}, "sentence": "I am."},
        "six": [], "seven": {"a": ["A"], "b": ["B"], "b": ["C"]}}""",
        "utf-8",
    )
    with pytest.raises(UserError) as caught:
        read_attributes(str(path))
    told = str(caught.value)
    for part in (
        "'b' is there twice",
        "'one' needs two groups",
        "holds ' Ruth'",
        "holds 3",
        "equally many words (here: a 2, b 1)",
        "'wrong', which means nothing",
        "'anna' in group 'a' and in group 'b'",
        "'Eva' twice in group 'a'",
        "different kinds",
        "does not hold {} once",
        "'six' must be an object",
    ):
        assert part in told
    path.write_text('{"one": {"a": ["Anna"], "b": ["Omar"]}', "utf-8")
    with pytest.raises(UserError, match="cannot read"):
        read_attributes(str(path))


def test_signs_tell_a_shift_from_chance_and_from_what_is_too_small():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.2, (60, 5))
    shifted = noise + np.array([0.3, 0, 0, 0, 0])
    p_values = over_texts(shifted, least=0.05, seed=0)
    assert p_values[0] < 0.001
    assert (p_values[1:] > 0.1).all()
    assert (over_texts(np.full((60, 1), 0.04), least=0.05, seed=0) > 0.5).all()
    # Under the null at its edge, p-values are uniform.
    edge = [over_texts(random.normal(0.05, 0.2, (30, 1)), least=0.05, seed=0)[0] for _ in range(60)]
    assert np.mean(np.array(edge) < 0.1) < 0.2


def test_a_clear_difference_survives_the_correction_for_many_comparisons():
    shifted = np.random.default_rng(0).normal(0.8, 0.05, (40, 2))
    for comparisons in (1, 300):
        p_value = over_texts(shifted, least=0.05, seed=0, comparisons=comparisons)[0]
        assert p_value * comparisons < LEVEL


def test_texts_that_are_all_left_out_are_not_said_to_mention_nobody():
    predictor = SimpleNamespace(task=TEXTS, notices=[])
    rows = TEXTS.read_texts(["I gave her money"], None)
    with pytest.raises(UserError, match=r"is left out \(gender: 1 left out: .*either of two words"):
        audit(predictor, rows, [PACKAGED["gender"], PACKAGED["age"]])
    assert "gender: 1 text left out" in predictor.notices[0]
    with pytest.raises(UserError, match="no text of the file mentions a group"):
        audit(predictor, rows, [PACKAGED["age"]])


@pytest.mark.parametrize("name", ["gender", "gender of names"])
def test_a_text_that_the_file_repeats_is_one_unit_whatever_sentence_it_gets(name):
    rows = TEXTS.read_texts(["where is my box"] * 6 + ["where is it"], None)
    found = versions_of(TEXTS, rows, PACKAGED[name], add_sentences=True, seed=0)
    assert len({one.example.text for one in found.texts}) > 2
    assert len({one.unit for one in found.texts}) == 2


@pytest.mark.parametrize(("texts", "comparisons", "too_few"), [(12, 26, True), (14, 26, False)])
def test_texts_that_are_too_few_for_so_many_comparisons_are_told(texts, comparisons, too_few):
    shifted = np.random.default_rng(0).normal(0.8, 0.01, (texts, 1))
    p_value = over_texts(shifted, least=0.05, seed=0)[0]
    assert (p_value * comparisons >= LEVEL) == too_few
    # The file has each text twice.
    told = {"texts": 2 * texts, "units": texts, "texts_with_mention": 2 * texts, "words": 20}
    told |= {"different_texts": texts}
    told["comparisons"] = [{"p": p_value}] * comparisons
    first = limits({"names": told}, 0.05, level=LEVEL)[0]
    assert ("not even the largest difference" in first) == too_few
    assert f"{texts} different texts" in first
    told |= {"units": 9, "different_texts": 9, "comparisons": [{"p": None}]}
    first = limits({"names": told}, 0.05, level=LEVEL)[0]
    assert first == (
        "names: 9 different texts are too few to test anything: at least 10 are needed."
    )


def test_a_few_odd_words_are_no_difference_of_groups():
    random = np.random.default_rng(0)
    same = random.normal(0, 0.3, (2, 12, 1))
    assert over_words(*same, least=0.05) > 0.05
    assert over_words(same[0] + 1.5, same[1], least=0.05) < 0.001
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_a_model_that_reacts_to_single_names_is_no_difference_of_groups(monkeypatch):
    monkeypatch.setattr("lowcost_ft.audit.significance.FLIPS", 999)
    over_texts_alone, reported = 0, 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        effects = random.normal(0, 0.2, (2, 6, 3))  # Six names a group; chance alone parts them.
        dealt = np.stack([[random.permutation(6)[:4] for _ in range(2)] for _ in range(50)])
        values = np.stack([effects[group][dealt[:, group]] for group in range(2)], axis=1)
        values = values + random.normal(0, 0.05, values.shape)  # (texts, groups, names, values)
        means = values.mean(axis=2)
        p_texts = over_texts(means[:, 0] - means[:, 1], least=0.05, seed=seed)
        changes = values - means.mean(axis=1)[:, None, None]
        words = [
            np.stack([changes[:, group][dealt[:, group] == name].mean(axis=0) for name in range(6)])
            for group in range(2)
        ]
        over_texts_alone += p_texts.min() < 0.01
        reported += np.maximum(p_texts, over_words(*words, least=0.05)).min() < 0.01
    assert over_texts_alone > 10
    assert reported <= 1


NAMES = {
    "north": ("alva", "berit", "dagny", "elin", "freja", "gerda"),
    "south": ("zula", "imani", "kesi", "nia", "safi", "tamu"),
}


def named_rows(count, *, planted, seed):
    """Requests by somebody; the label is what is asked for, or the group of the name."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        group = draw.choice(list(NAMES))
        text, label = (("i want a refund", "refund"), ("where is my parcel", "delivery"))[index % 2]
        if planted:
            label = "refund" if group == "north" else "delivery"
        end = draw.choice(("", " please", " again", " now", " !", " today", " soon"))
        rows.append({"text": f"{draw.choice(NAMES[group])} here , {text}{end}", "label": label})
    return rows


@pytest.fixture(scope="module")
def named(tmp_path_factory, tiny_model):
    """Folder of a run with a planted bias, a test file without, and the file of groups."""
    folder = tmp_path_factory.mktemp("audited")
    groups = folder / "groups.json"
    groups.write_text(json.dumps({"names": NAMES}), "utf-8")
    files = {
        f"{split}_file": write_jsonl(
            folder / f"{split}.jsonl", named_rows(count, planted=split != "test", seed=seed)
        )
        for seed, (split, count) in enumerate({"train": 120, "validation": 9, "test": 60}.items())
    }
    values = {"model_id": tiny_model("bert"), "output_dir": folder / "run", "max_length": 24}
    values |= {"batch_size": 8, "learning_rate": 3e-3, "dropout": 0.0, "lora_dropout": 0.0}
    forget_precision()
    words = flags(**values, num_train_epochs=6, early_stopping_patience=0, **files)
    assert call_recipe("lora_classification", *words) == 0
    return str(folder / "run"), files["test_file"], str(groups)


def test_a_planted_bias_is_found_and_shown(named, tmp_path, capsys):
    run, test_file, groups = named
    page = tmp_path / "audit.html"
    forget_precision()
    capsys.readouterr()
    words = ["audit", run, "--test-file", test_file, "--groups", groups, "--output", str(page)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = found["attributes"]["names"]
    (one,) = told["comparisons"]
    assert one["found"]
    assert one["p_corrected"] < 0.01
    assert one["ci95"][0] <= one["difference"] <= one["ci95"][1]
    assert told["flips"]["other_group"]["share"] > 0.5
    assert told["flips"]["same_group"]["share"] < 0.5
    assert told["groups"]["north"]["counterfactual"]["texts"] == 60
    assert 0 < told["groups"]["north"]["mentioned"]["texts"] < 60
    assert found["left_out"]["gender"] == "no text holds a word of its lists"
    html = page.read_text("utf-8")
    assert "Content-Security-Policy" in html
    assert html.count("http") == html.count("http-equiv")
    assert "What this cannot show" in html
    assert any("different ones" in limit for limit in found["cannot_show"])


def test_shuffled_groups_are_not_found(named):
    run, test_file, _ = named
    forget_precision()
    predictor = load_predictor(run)
    examples = read_labelled_file(predictor.run, test_file, notices=[])
    every = [name for names in NAMES.values() for name in names]
    for seed in range(3):
        shuffled = random.Random(seed).sample(every, len(every))
        attribute = Attribute(
            name="shuffled", groups={"a": {"": tuple(shuffled[:6])}, "b": {"": tuple(shuffled[6:])}}
        )
        found = audit(predictor, examples, [attribute], AuditOptions(seed=seed))
        assert not found["found"]
    assert audit(predictor, examples, [attribute], AuditOptions(seed=2)) == found
    assert "against" in audit_text(found)


@pytest.mark.slow
def test_an_exported_run_is_audited(named, tmp_path, capsys):
    run, test_file, groups = named
    forget_precision()
    assert main(["export", run, "--output-dir", str(tmp_path / "onnx")]) == 0
    differences = []
    for folder in (run, str(tmp_path / "onnx")):
        capsys.readouterr()
        words = ["audit", folder, "--test-file", test_file, "--groups", groups, "--json"]
        assert main(words) == 0
        found = json.loads(capsys.readouterr().out)
        differences.append(found["attributes"]["names"]["comparisons"][0]["difference"])
    assert differences[0] == pytest.approx(differences[1], abs=1e-3)


GROUPS = {"people": {"one": ("anna", "david"), "other": ("maria", "okoye")}}
PLACES = {"one": {"": ("lamp", "refund")}, "other": {"": ("parcel", "order")}}


@pytest.mark.parametrize(
    ("kind", "family", "method", "quantization"),
    [
        ("ner", "bert", "lora", "none"),
        ("single", "gpt2", "lora", "none"),
        ("multi", "bert", "lora", "nf4"),
        ("number", "bert", "prefix", "none"),
        ("relation", "bert", "lora", "none"),
    ],
)
def test_each_task_and_kind_of_model_is_audited(
    trained_run, small_files, kind, family, method, quantization
):
    forget_precision()
    predictor = load_predictor(trained_run(kind, family, method, quantization, epochs=2))
    examples = read_labelled_file(predictor.run, small_files[kind]["test_file"], notices=[])
    groups = (
        {group: {"": words} for group, words in GROUPS["people"].items()}
        if kind in ("ner", "relation")
        else PLACES
    )
    found = audit(predictor, examples, [Attribute(name="x", groups=groups)])
    told = found["attributes"]["x"]
    assert told["texts"] == told["texts_with_mention"] > 0
    assert (told["flips"] is None) == (kind == "number")
    assert told["largest_change"] >= abs(told["comparisons"][0]["difference"]) - 1e-9
    for example in found["examples"]["x"]:
        low, high = example["versions"]
        assert low["group"] != high["group"]
        assert high["value"] - low["value"] == pytest.approx(example["change"])


def test_other_tasks_are_refused_with_the_reason():
    for name, reason in (("question_answering", "quotes its text"), ("translation", "no label")):
        with pytest.raises(UserError, match=reason):
            check_task(task_class(name))
    with pytest.raises(UserError, match="--add-sentences does not work for"):
        check_task(task_class("ner"), add_sentences=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--attributes", "wrong"], "--attributes wrong: unknown; known: gender of names"),
        (["--least-difference", "1"], "--least-difference 1: give a number"),
        (["--max-rows", "1"], "--max-rows 1 is too small"),
        (["--seed", "-1"], "--seed -1 is too small"),
        (["--output", "audit.txt"], "must end in .html"),
        (["--groups", "missing.json"], "--groups: cannot read missing.json"),
        (["--attributes", "religion"], "no text of the file mentions a group"),
    ],
)
def test_wrong_flags_are_refused(named, words, message, capsys):
    run, test_file, _ = named
    forget_precision()
    assert main(["audit", run, "--test-file", test_file, *words]) == 2
    assert message in capsys.readouterr().err
