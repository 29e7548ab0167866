"""Reports: which runs are a row, what is advised, and what stands in Markdown, CSV and HTML."""

import csv
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from report_records import HOSTILE, record, write_records

from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError
from lowcost_ft.report.advice import advise, not_clearly_worse
from lowcost_ft.report.collect import Result, collect
from lowcost_ft.report.distance import distances_from_full
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.numbers import memory_text
from lowcost_ft.report.plots import draw_plots
from lowcost_ft.report.repeat import repeat_command
from lowcost_ft.report.sections import build_section
from lowcost_ft.report.tables import comparison_table, target_score
from lowcost_ft.report.writing import Options, write_report


def comparison(*runs):
    (only,) = compare([Result(name=f"run{i}", run=run) for i, run in enumerate(runs)])
    return only


def html(tmp_path, *paths, **options):
    write_report(paths, tmp_path / "report.html", Options(**options))
    return (tmp_path / "report.html").read_text("utf-8")


def test_settings_that_a_method_does_not_use_tell_no_runs_apart():
    runs = [record("full", seed=seed, config={"lora_r": rank}) for seed, rank in ((0, 16), (1, 32))]
    (row,) = comparison(*runs).rows
    assert (row.label, len(row.results)) == ("full fine-tuning", 2)


def test_seeds_are_one_row_and_settings_are_not():
    runs = [record(seed=seed, score=score) for seed, score in enumerate((0.6, 0.7, 0.8))]
    other = record(config={"lora_r": 4})
    rows = {row.label: row for row in comparison(*runs, other, record("full")).rows}
    assert set(rows) == {"LoRA, lora_r 32", "LoRA, lora_r 4", "full fine-tuning"}
    row = rows["LoRA, lora_r 32"]  # A record without the field had its default.
    assert row.score == pytest.approx(0.7)
    low, high = row.interval
    # Bootstrap half-width 0.05; Student's 4.303 * 0.1 / sqrt(3) for the seeds, 1 for a single one.
    assert 0.7 - low == pytest.approx((0.05**2 + 0.2484**2) ** 0.5, abs=1e-3)
    assert 0.7 - low == pytest.approx(high - 0.7)
    low, _ = rows["full fine-tuning"].interval
    assert 0.8 - low == pytest.approx((0.05**2 + 0.4303**2) ** 0.5, abs=1e-3)
    (one,) = comparison(*runs[:2]).rows  # Two scores alone say too little of their spread.
    assert one.interval == pytest.approx((0.6, 0.7))


def test_an_interval_of_f1_does_not_go_below_zero():
    runs = [record(seed=seed, score=score) for seed, score in enumerate((0.6, 0.7, 0.8))]
    rows = comparison(*runs, record("full", score=0.0)).rows
    assert next(row for row in rows if row.score == 0.0).interval[0] == 0.0


def test_a_copy_of_a_run_is_no_other_seed():
    runs = [record(seed=0), record(seed=0), record(seed=1, score=0.6)]
    failed = record(seed=1, score=None, status="failed")
    only = comparison(failed, *runs)
    assert [result.name for result in only.rows[0].results] == ["run1", "run3"]
    assert only.rows[0].scores() == [0.8, 0.6]
    assert sorted(notice.split(" is left out")[0] for notice in only.notices) == ["run0", "run2"]


def test_labels_say_what_was_done():
    configs = {
        "NF4 LoRA": {"quantization": "nf4"},
        "LoRA, top 3 layers, cached": {
            "trainable_layers": 3,
            "cache_frozen_layers": True,
        },
        "LoRA, checkpointed": {"gradient_checkpointing": True},
    }
    rows = comparison(*(record(config=config) for config in configs.values())).rows
    assert {row.label for row in rows} == set(configs)


def test_other_data_and_other_devices_are_not_compared():
    gpu = record()
    gpu["train"]["peak_memory_source"] = "cuda_allocator"
    gpu["hardware"] = {"cpu": "Some CPU", "gpus": [{"name": "Some GPU"}]}
    elsewhere = record(config={"train_file": "/home/me/other/train.conll"})
    found = compare([Result(name="x", run=run) for run in (record(), gpu, elsewhere)])
    assert {one.title for one in found} == {
        "wnut17/train.conll on Some CPU, tiny",
        "wnut17/train.conll on Some GPU, tiny",
        "other/train.conll on Some CPU, tiny",
    }


def test_comparisons_of_the_same_name_have_titles_of_their_own():
    untested = record(data={"rows": {"train": 80}}, score=None)
    titles = [c.title for c in compare([Result(name="x", run=r) for r in (record(), untested)])]
    assert titles == [
        "wnut17/train.conll on Some CPU, tiny, rows: 80 for train, 20 for test",
        "wnut17/train.conll on Some CPU, tiny, rows: 80 for train",
    ]


def test_the_cheapest_that_is_not_clearly_worse_is_advised():
    best = record("full", score=0.82, memory=900e6, speed=500)
    close = record("lora", score=0.80, memory=400e6, speed=900)
    poor = record("head", score=0.50, memory=100e6, speed=3000)
    advice = advise(comparison(best, close, poor))
    assert advice.headline == "Use LoRA."
    assert "difference from LoRA, 0.020, lies within the interval" in " ".join(advice.reasons)
    assert [(budget.text, budget.row.label) for budget in advice.budgets] == [
        ("100 MB to 400 MB", "linear probe"),
        ("400 MB or more", "LoRA"),  # With 900 MB, too: full fine-tuning is not clearly better.
    ]
    small = advise(comparison(best, close, poor), 200e6)
    assert small.headline == "Use linear probe: nothing else that was run fits."
    nothing = advise(comparison(best, close, poor), 50e6)
    assert nothing.headline == "Nothing that was run fits 50 MB."
    assert nothing.reasons == ["The smallest of them needs 100 MB (100,000,000 bytes)."]


def test_a_clear_difference_is_a_difference():
    best = record("full", score=0.90, memory=900e6)
    advice = advise(comparison(best, record("lora", score=0.80)))
    assert advice.headline == "Use full fine-tuning."
    assert "too few seeds" in " ".join(advice.reasons)


def test_what_seeds_do_not_explain_is_a_clear_difference():
    """All rows have one test set, whose part of the interval does not lie between them."""
    best = [record("full", seed=s, score=score) for s, score in enumerate((0.80, 0.81, 0.79))]
    near = [record("lora", seed=s, score=score) for s, score in enumerate((0.79, 0.80, 0.78))]
    far = [record("bias", seed=s, score=score) for s, score in enumerate((0.76, 0.77, 0.75))]
    rows = {row.label: row for row in comparison(*best, *near, *far).rows}
    full = rows["full fine-tuning"]
    assert full.interval[0] < 0.76  # By the interval alone, both would be as good.
    assert not_clearly_worse(full, full)
    assert not_clearly_worse(rows["LoRA"], full)
    assert not not_clearly_worse(rows["bias (BEFT)"], full)


def test_the_distance_from_full_fine_tuning_is_told():
    full = record("full", score=0.90)
    said = distances_from_full(comparison(full, record("lora", score=0.80)))
    assert said == [
        "LoRA is 0.100 below full fine-tuning here (entity F1 0.800 against 0.900): a clear "
        "difference, so full fine-tuning is worth its memory if you have it."
    ]
    (near,) = distances_from_full(comparison(full, record("lora", score=0.88)))
    assert near.endswith("no clear difference.")
    (above,) = distances_from_full(comparison(full, record("lora", score=0.99)))
    assert "0.090 above" in above and above.endswith("a clear difference.")
    (same,) = distances_from_full(comparison(full, record("lora", score=0.9)))
    assert "scored the same" in same
    # Nothing is said of runs that trained for another time, or without full fine-tuning.
    longer = record("lora", score=0.9, config={"num_train_epochs": 9})
    assert distances_from_full(comparison(full, longer)) == []
    assert distances_from_full(comparison(longer)) == []
    notes = build_section(comparison(full, record("lora", score=0.80)), Options()).notes
    assert said[0] in notes


def test_longer_training_is_not_taken_for_a_better_method():
    long = record("lora", score=0.9, config={"num_train_epochs": 10})
    short = record("full", score=0.8, config={"num_train_epochs": 3})
    said = " ".join(advise(comparison(long, short)).reasons)
    assert "These did not train for the same time (10 epochs and 3 epochs)" in said
    alike = record("lora", score=0.9, config={"num_train_epochs": 3})
    assert "equally long" not in " ".join(advise(comparison(alike, short)).reasons)


def test_runs_without_scores_are_advised_by_cost():
    fast = record("full", score=None, memory=900e6, speed=2000)
    advice = advise(comparison(fast, record("lora", score=None, speed=1000)))
    assert "memory and speed, not quality" in advice.headline
    assert [budget.row.label for budget in advice.budgets] == ["LoRA", "full fine-tuning"]


def test_runs_for_their_cost_alone_are_apart_from_scores():
    few = record(score=None, benchmark={"no_scores": "40 steps"})
    judged, cost = compare([Result(name="x", run=run) for run in (record(), few)])
    table = comparison_table(cost, None)
    assert "peak memory" in table.columns and not any("test" in name for name in table.columns)
    assert build_section(cost, Options()).notes == ["No scores: 40 steps."]
    assert judged.rows[0].score == 0.8


def test_failures_keep_their_status_and_no_number():
    failed = record("full", status="out_of_memory", error="OutOfMemoryError: 80 GB")
    table = comparison_table(comparison(record(), failed), None)
    (cells,) = [row for row in table.rows if row[0].text == "full fine-tuning"]
    assert cells[0].detail == "out of memory"
    assert not any(cell.text for cell in cells[2:])
    assert advise(comparison(failed)).headline == "No run completed, so there is no answer."


def test_a_run_that_ended_early_stays_beside_the_others():
    early = record("full", status="failed", labels=())
    del early["data"], early["labels"]
    assert [row.status for row in comparison(record(), early).rows] == ["", "failed"]


def test_ratios_best_cells_and_time_to_score():
    full = record("full", score=0.80, memory=800e6, speed=500)
    compared = comparison(full, record("lora", score=0.81, memory=400e6, speed=1000))
    assert target_score(compared) == pytest.approx(0.95 * 0.80)
    assert target_score(compared, 0.7) == 0.7
    nothing = record("full", score=0.80)
    for epoch in nothing["train"]["validation_history"]:
        epoch["f1"] = 0.0
    useful = comparison(nothing, record("lora", score=0.4))
    assert target_score(useful) == pytest.approx(0.95 * 0.4)
    assert target_score(comparison(nothing)) is None
    table = comparison_table(compared, 0.7)
    lora = dict(zip(table.columns, table.rows[0], strict=True))
    assert lora["peak memory"].detail == "0.50x of full" and lora["peak memory"].best
    assert lora["tokens/s"].detail == "2.00x of full" and lora["tokens/s"].best
    assert lora["time to validation entity F1 0.700"].text == "50 s"  # 0.9 * 0.81 in epoch 1
    assert lora["trained"].text == "3.00%"
    assert compared.rows[0].seconds_to(0.9) == [None]
    table = comparison_table(compared, 0.9)
    assert {
        row[table.columns.index("time to validation entity F1 0.900")].text for row in table.rows
    } == {"not reached"}


@pytest.mark.parametrize("missing", [None, "everything"])
def test_missing_and_odd_fields_do_not_matter(tmp_path, missing):
    least = {"schema_version": 1, "status": "completed"}
    runs = {"least": least, "whole": record(), "nulls": {**least, **dict.fromkeys(record())}}
    runs["nulls"] |= least
    runs["odd"] = {name: "text" for name in record()} | least
    runs["deep"] = record(train={"loss_history": "x", "validation_history": [3, {"f1": None}]})
    runs["deep"]["evaluation"] = {"test": {"f1": "0.5", "f1_ci95": 3, "per_entity": {"a": 1}}}
    if missing:
        runs = {"least": least}
    folder = write_records(tmp_path / "results", **runs)
    for kind in ("html", "md", "csv"):
        write_report([folder], tmp_path / f"report.{kind}")
        assert (tmp_path / f"report.{kind}").stat().st_size > 100


def test_hostile_labels_stay_text(tmp_path):
    runs = {"a": record(labels=(HOSTILE, "b")), "b": record("full", labels=(HOSTILE, "b"))}
    runs["c"] = record(HOSTILE, labels=(HOSTILE, "b"), command=["x.py", HOSTILE])
    folder = write_records(tmp_path / "results", **runs)
    page = html(tmp_path, folder)
    assert "<script" not in page and "&lt;script&gt;" in page
    write_report([folder], tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text("utf-8")
    outside_code = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    assert "<script" not in outside_code and "&lt;script" in outside_code


def test_csv_has_a_line_a_run_and_no_formulas(tmp_path):
    folder = write_records(
        tmp_path / "results",
        a=record(seed=0),
        b=record(seed=1, config={"train_file": None, "dataset": "=1+2"}),
        c=record("full", status="failed"),
    )
    write_report([folder], tmp_path / "report.csv")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text("utf-8"))))
    assert {line["name"] for line in lines} == {"a", "b", "c"}
    by_name = {line["name"]: line for line in lines}
    assert float(by_name["a"]["test_score"]) == 0.8
    assert by_name["a"]["peak_memory_bytes"] == "400000000.0"
    assert by_name["b"]["data"] == "'=1+2"
    assert (by_name["c"]["status"], by_name["c"]["test_score"]) == ("failed", "")


def test_a_page_of_real_runs_holds_all_that_it_promises(tmp_path, trained_run):
    folders = [str(trained_run("ner", "bert", method)) for method in ("lora", "full")]
    page = html(tmp_path, *folders)
    run = json.loads((Path(folders[0]) / "run.json").read_text("utf-8"))
    for text in (
        *("Use ", "LoRA", "full fine-tuning", "By entity type", "Confusions"),
        *(run["data"]["fingerprint"], "All settings", "--num-threads", run["versions"]["torch"]),
        *("Score against memory", "Memory against speed", "Training loss over time"),
        *("Validation score over time", "Memory by part"),
    ):
        assert text in page, text
    assert page.count('src="data:image/svg+xml;base64,') == page.count("<img ") >= 4
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert f"{run['evaluation']['test']['f1']:.3f}" in page


def test_the_command_is_the_recorded_one_or_made_from_the_settings():
    recorded = Result(name="x", run=record("full", seed=3))
    assert repeat_command(recorded) == "python recipes/full_ner.py --seed 3 --num-threads 1"
    made = repeat_command(Result(name="x", run=record("full", seed=3, command=["-c"])))
    assert made is not None
    program, *flags = made.removeprefix("python ").split()
    assert program == "recipes/lora_ner.py"
    config = parse_config(RunConfig(task="ner", method="lora", num_train_epochs=6), flags)
    assert (config.method, config.seed, config.num_threads) == ("full", 3, 1)
    assert (config.train_file, config.model_id) == ("data/wnut17/train.conll", "org/tiny")
    assert repeat_command(Result(name="x", run={"status": "failed"})) is None


def test_the_made_command_gives_the_same_settings(trained_run):
    (result,), _ = collect([str(trained_run("single", "bert"))])
    made = repeat_command(replace(result, run=result.run | {"command": []}))
    assert made is not None
    config = parse_config(RunConfig(task="classification"), shlex.split(made)[2:])
    expected = result.table("config") | {"output_dir": None, "num_threads": config.num_threads}
    assert json.loads(json.dumps(config.to_dict())) == expected


def test_worst_predictions_are_shown_with_their_truth(tmp_path, trained_run):
    folder = trained_run("single", "bert")
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "run.json").write_text((folder / "run.json").read_text("utf-8"))
    rows = [
        {"text": f"text {loss}", "label": "refund", "true_label": "None", "loss": loss}
        for loss in (1.0, 3.0, 2.0)
    ]
    rows.append({"text": "right", "label": "refund", "true_label": "refund", "loss": 9.0})
    lines = [*map(json.dumps, rows), "damaged"]
    (copy / "predictions.jsonl").write_text("\n".join(lines))
    page = html(tmp_path, str(copy), examples=2)
    assert 0 < page.index("text 3.0") < page.index("text 2.0")
    assert "text 1.0" not in page and ">right<" not in page
    assert "text 3.0" not in html(tmp_path, str(copy), examples=0)
    file = write_records(tmp_path / "results", only=record())
    assert "Its predictions.jsonl is missing, so its mistakes are not shown." in html(
        tmp_path, file
    )


def test_what_is_no_run_is_said(tmp_path, capfd):
    folder = write_records(tmp_path / "results", a=record())
    (tmp_path / "results" / "notes.json").write_text('{"status": 1}')
    (tmp_path / "results" / "predicted.json").write_text('{"text": "a"}\n{"text": "b"}\n')
    (tmp_path / "empty").mkdir()
    results, notices = collect([folder, f"{folder}/a.json"])
    assert [result.name for result in results] == ["a"]
    assert len(notices) == 2 and "notes.json" in notices[0]
    assert "predicted.json is not the record of a run" in notices[1]
    with pytest.raises(UserError) as caught:
        collect([str(tmp_path / "empty"), str(tmp_path / "nowhere"), f"{folder}/notes.json"])
    assert len(caught.value.problems) == 3
    assert main(["report", folder, "--output", str(tmp_path / "report.pdf")]) == 2
    assert "the name must end in .html, .md, .csv" in capfd.readouterr().err
    assert main(["report", "--memory-budget", "6 pounds", "--examples", "-1"]) == 2
    assert "3 problems" in capfd.readouterr().err
    assert (
        main(["report", folder, "--output", str(tmp_path / "r.md"), "--memory-budget", "1GB"]) == 0
    )
    assert "notes.json" in capfd.readouterr().err


def test_models_that_were_made_of_a_run_take_no_place_from_it(tmp_path):
    whole = record()
    small = record(evaluation={"validation": {"f1": 0.1}})
    made = {"merged_from": "whole", "trained_on": "none"}
    folder = write_records(
        tmp_path / "results",
        a_small=small | made | {"compress": {"layers": [0]}},
        b_exported=whole | made | {"export": {"files": []}},
        c_merged=whole | made,
        whole=whole,
    )
    results, notices = collect([folder])
    assert [result.name for result in results] == ["whole"]
    for notice, said in zip(
        notices, ("a compressed model", "an exported model", "a merged model"), strict=True
    ):
        assert f"is {said}, whose record holds the training of whole" in notice
    with pytest.raises(UserError, match="score this one with lowcost-ft evaluate"):
        collect([f"{folder}/a_small.json"])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--memory-budget", "300"], "--memory-budget 300 is 300 bytes: give the unit"),
        (["--target-score", "56"], "--target-score 56.0: give a score as the tables show it"),
        (["--target-score", "nan"], "--target-score nan"),
        (["--memory-budget", "1GB", "--output", "report.csv"], "a .csv lists the runs"),
    ],
)
def test_flags_that_mean_nothing_are_refused(tmp_path, monkeypatch, capfd, flags, said):
    folder = write_records(tmp_path / "results", a=record())
    monkeypatch.chdir(tmp_path)
    assert main(["report", folder, *flags]) == 2
    assert said in capfd.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["results"]


def test_costs_are_compared_with_full_fine_tuning_of_the_same_length():
    runs = [
        record(method, config={"num_train_epochs": epochs}, memory=memory)
        for method, epochs, memory in (
            ("full", 3, 800e6),
            ("lora", 3, 400e6),
            ("lora", 10, 600e6),
        )
    ]
    compared = comparison(*runs)
    table = comparison_table(compared, None)
    details = {row[0].text: row[table.columns.index("peak memory")].detail for row in table.rows}
    assert details == {
        "full fine-tuning, 3 epochs": "",
        "LoRA, 3 epochs": "0.50x of full",
        "LoRA, 10 epochs": "",
    }


def test_a_cache_is_part_of_the_training_and_named_beside_its_speed():
    cached = record("lora", score=0.82, config={"trainable_layers": 2})
    cached["train"] |= {"cache_seconds": 60.0}
    compared = comparison(cached, record("full", score=0.6))
    table = comparison_table(compared, None)
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    assert (cells["training"].text, cells["training"].detail) == ("160 s", "1.60x of full")
    assert "1,000 tokens/s once its cache was built in 60 s" in advise(compared).reasons[0]


def test_seeds_of_different_speed_show_their_range():
    runs = [record(seed=seed, speed=speed) for seed, speed in enumerate((900, 1100, 1000))]
    table = comparison_table(comparison(*runs, record("full", speed=500)), None)
    cells = [row[table.columns.index("tokens/s")] for row in table.rows]
    found = {(cell.text, cell.detail) for cell in cells}
    assert found == {("1,000", "2.00x of full; 900 to 1,100"), ("500", "")}


def test_what_is_over_the_budget_is_marked():
    best = record("full", score=0.82, memory=900e6)
    compared = comparison(best, record("lora", score=0.80, memory=400e6), record("head", score=0.5))
    table = comparison_table(compared, None, 500e6)
    details = {row[0].text: row[table.columns.index("peak memory")].detail for row in table.rows}
    assert details["full fine-tuning"] == "over 500 MB"
    assert details["LoRA"] == "0.44x of full"
    assert "LoRA scored highest of what fits 500 MB" in advise(compared, 500e6).reasons[0]


def test_a_budget_without_a_known_peak_moves_no_column():
    run = record(score=0.8)
    del run["train"]["peak_memory_bytes"]
    table = comparison_table(comparison(run), None, 500e6)
    assert "peak memory" not in table.columns
    assert table.rows[0][table.columns.index("test entity F1 (95% interval)")].text.startswith(
        "0.8"
    )


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("lowcost_ft.report.drawing.find_spec", lambda name: None)
    folder = write_records(tmp_path / "results", a=record())
    with pytest.raises(UserError, match=r"pip install 'lowcost_ft\[report\]'"):
        write_report([folder], tmp_path / "report.html")
    write_report([folder], tmp_path / "report.md")


def test_the_same_runs_give_the_same_page(tmp_path):
    folder = write_records(tmp_path / "results", a=record(), b=record("full"))
    assert html(tmp_path, folder) == html(tmp_path, folder)


def test_sizes_are_written():
    assert [memory_text(size) for size in (None, 2.5e6, 391039892, 24.04e9)] == [
        "",
        "2.50 MB",
        "391 MB",
        "24.0 GB",
    ]


def test_labels_tell_how_long_and_what_else_differs():
    def labels(*changes):
        runs = [record("lora", score=0.5) for _ in changes]
        for run, change in zip(runs, changes, strict=True):
            run["config"] |= change
        return sorted(row.label for row in comparison(*runs).rows)

    assert labels({"max_steps": 20}, {"num_train_epochs": 1}) == ["LoRA, 1 epoch", "LoRA, 20 steps"]
    fast = {"num_train_epochs": 3, "learning_rate": 0.002}
    assert labels({"num_train_epochs": 10, "learning_rate": 0.001}, fast) == [
        "LoRA, 10 epochs",
        "LoRA, learning rate 0.002, 3 epochs",
    ]
    assert labels({"mixed_precision": "bf16"}, {"mixed_precision": "no"}) == [
        "LoRA, mixed_precision bf16",
        "LoRA, mixed_precision no",
    ]


def test_a_rate_that_others_of_the_method_do_not_have_is_told():
    runs = [
        record("full", config={"learning_rate": 1e-4}),
        record(config={"learning_rate": 1e-3}),
        record(config={"learning_rate": 1e-3, "quantization": "nf4"}),
        record(config={"learning_rate": 2e-3, "trainable_layers": 2}),
    ]
    assert {row.label for row in comparison(*runs).rows} == {
        "full fine-tuning",
        "LoRA",
        "NF4 LoRA",
        "LoRA, top 2 layers, learning rate 0.002",
    }


def test_a_flag_that_rows_differ_in_is_told_as_one():
    runs = [record("full"), record(), record(config={"torch_compile": True})]
    assert {row.label for row in comparison(*runs).rows} == {
        "full fine-tuning",
        "LoRA, no --torch-compile",
        "LoRA, --torch-compile",
    }


def test_a_comparison_with_another_dropout_is_said():
    only = comparison(record("full"), record(config={"dropout": 0.0}), record())
    assert only.notices == [
        "LoRA, no dropout: compared with full fine-tuning at another dropout, because none with "
        "the same dropout was run."
    ]


def test_what_learned_nothing_is_not_advised():
    advice = advise(comparison(record("full", score=0.0), record(score=0.0)))
    assert advice.headline == "None of these methods has learned anything yet."
    assert advice.budgets == []
    assert "entity F1 on the test split is 0.000" in advice.reasons[0]


def test_a_command_to_repeat_leaves_the_run_alone():
    command = ["recipes/lora_ner.py", "--output-dir", "runs/a", "--overwrite", "--seed", "1"]
    run = Result(name="x", run=record(command=command))
    assert repeat_command(run) == "python recipes/lora_ner.py --seed 1 --num-threads 1"


def test_dropout_is_told_where_rows_differ_in_it():
    def labels(*configs, task="ner"):
        only = comparison(*(record(config=config, task=task) for config in configs))
        return {row.label for row in only.rows}, only.notices

    assert labels({"dropout": "model"}, {"dropout": 0.1}, {"dropout": 0.0})[0] == {
        "LoRA",
        "LoRA, dropout 0.1",
        "LoRA, no dropout",
    }
    # Records that are older than the default hold None.
    names, notices = labels({"dropout": 0.0}, {"dropout": None}, task="classification")
    assert names == {"LoRA", "LoRA, the model's dropout"}
    assert notices == []
    names, notices = labels({"dropout": None}, task="classification")
    assert names == {"LoRA"}
    assert notices == [
        "All rows train with the model's dropout, which is not the default of their task."
    ]
    assert labels({"dropout": None})[1] == []


def test_costs_are_compared_with_full_fine_tuning_of_the_same_dropout():
    rows = [
        record(method, memory=memory, config={"dropout": dropout})
        for method, memory, dropout in (
            ("full", 800e6, "model"),
            ("full", 500e6, 0.0),
            ("lora", 400e6, "model"),
            ("lora", 300e6, 0.0),
        )
    ]
    table = comparison_table(comparison(*rows), None)
    memory = table.columns.index("peak memory")
    assert {row[0].text: row[memory].detail for row in table.rows} == {
        "full fine-tuning": "",
        "full fine-tuning, no dropout": "",
        "LoRA": "0.50x of full",
        "LoRA, no dropout": "0.60x of full",
    }


def test_a_recorded_command_is_completed_where_defaults_have_changed():
    def command(dropout, task, program="recipes/lora_ner.py"):
        run = record(config={"dropout": dropout}, task=task, command=[program, "--seed", "0"])
        return repeat_command(Result(name="x", run=run))

    plain = "python recipes/lora_ner.py --seed 0 --num-threads 1"
    assert command("model", "ner") == command(None, "ner") == plain
    assert command(0.0, "classification") == plain
    assert "--dropout model" in command(None, "classification")
    assert "--dropout 0.0" in command(0.0, "ner")
    # A suite's row says it itself.
    assert "--dropout" not in command(None, "classification", "benchmarks/compare_methods.py")


def test_scores_are_compared_between_cpus_and_speeds_are_not():
    full, lora = record("full", speed=500, memory=800e6), record(speed=1500)
    lora["hardware"]["cpu"] = "Other CPU"
    here = record("bias", speed=700)
    only = comparison(full, lora, here)
    assert only.title == "wnut17/train.conll on Other CPU and Some CPU, tiny"
    assert "speeds and times are compared only between rows of the same CPU" in " ".join(
        only.notices
    )
    table = comparison_table(only, 0.7)
    rows = {row[0].text: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert {name: row["device"].text for name, row in rows.items()} == {
        "full fine-tuning": "Some CPU",
        "LoRA": "Other CPU",
        "bias (BEFT)": "Some CPU",
    }
    assert rows["LoRA"]["peak memory"].detail == "0.50x of full"
    assert "of full" not in rows["LoRA"]["tokens/s"].detail + rows["LoRA"]["training"].detail
    assert rows["bias (BEFT)"]["tokens/s"].detail == "1.40x of full"
    assert not any(row["tokens/s"].best or row["training"].best for row in rows.values())
    assert "Which of these is fastest is unknown" in " ".join(advise(only).reasons)
    assert [plot.title for plot in draw_plots(only)] == ["Score against memory", "Memory by part"]
    both = comparison(record(), lora, here)  # the same setting on both
    assert {"LoRA, device Some CPU", "LoRA, device Other CPU"} < {row.label for row in both.rows}


def elsewhere(run):
    run["hardware"] = run["hardware"] | {"cpu": "Other CPU"}
    return run


def test_the_same_seeds_on_another_cpu_say_nothing_new_of_the_seeds():
    scores = dict(enumerate((0.6, 0.7, 0.8)))
    runs = [record(seed=seed, score=score) for seed, score in scores.items()]
    again = [elsewhere(record(seed=seed, score=score)) for seed, score in scores.items()]
    (row,) = comparison(*runs).rows
    assert [twin.interval for twin in comparison(*runs, *again).rows] == [row.interval] * 2


def test_a_failure_on_another_cpu_spoils_no_comparison_of_speeds():
    runs = [record("full", speed=500), record(speed=1500)]
    failed = elsewhere(record("bias", score=None, status="failed"))
    only = comparison(*runs, failed)
    assert only.devices == ["Some CPU"]
    assert not [notice for notice in only.notices if "same CPU" in notice]
    titles = [plot.title for plot in draw_plots(only)]
    assert "Memory against speed" in titles and "Training loss over time" in titles


def test_runs_without_a_test_split_are_not_advised_by_speed_across_cpus():
    runs = [record("full", score=None, speed=2500), elsewhere(record(score=None, speed=1500))]
    advice = advise(comparison(*runs))
    assert "Fastest" not in " ".join(advice.reasons)
    assert advice.budgets == []


def test_a_number_is_the_same_dropout_however_it_is_written():
    (row,) = comparison(
        *(record(seed=i, config={"dropout": d}) for i, d in enumerate((0, 0.0)))
    ).rows
    assert len(row.results) == 2
    assert comparison(record(config={"dropout": ["odd"]})).rows[0].label == "LoRA"


def with_share(run, share):
    run["train"]["cpu_share"] = share
    return run


def test_speeds_carry_the_share_of_the_cpu_they_were_had_with():
    unlike = comparison(with_share(record("lora"), 0.95), with_share(record("full"), 0.45))
    (notice,) = unlike.notices
    assert "from 45% (full fine-tuning) to 95% (LoRA)" in notice
    assert "only between rows with similar shares" in notice
    table = comparison_table(unlike, None)
    cells = [row[table.columns.index("tokens/s")] for row in table.rows]
    assert sorted(cell.detail.split("; ")[-1] for cell in cells) == [
        "45% of the CPU",
        "95% of the CPU",
    ]
    assert comparison(with_share(record(), 0.95), with_share(record("full"), 0.9)).notices == []
    assert comparison(record("lora"), record("full")).notices == []
    on_gpu = [with_share(record(method), share) for method, share in (("lora", 0.9), ("full", 0.1))]
    for run in on_gpu:
        run["train"]["peak_memory_source"] = "cuda_allocator"
    assert comparison(*on_gpu).notices == []
