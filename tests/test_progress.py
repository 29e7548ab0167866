"""What the screen says of the time, and the share of the CPU that a speed was had with."""

import time

import pytest
from small_training import Trainer

from lowcost_ft.training.progress import TrainResult, _time_left
from lowcost_ft.training.steps import StepRunner


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a minute left"),
        (59.9, "less than a minute left"),
        (60, "about 1 min left"),
        (150, "about 2 min left"),
        (7000, "about 117 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_the_time_left_in_words(seconds, text):
    assert _time_left(seconds) == text


@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_a_run_records_the_share_of_the_cpu_that_it_got(tiny_model, tmp_path, monkeypatch, wait):
    step, worked = StepRunner.step, []

    def waiting(self, *arguments):
        time.sleep(wait)  # As if other programs had the core.
        started = time.process_time()
        found = step(self, *arguments)
        worked.append(time.process_time() - started)
        return found

    monkeypatch.setattr(StepRunner, "step", waiting)
    result = Trainer(tiny_model, tmp_path, "ner", "bert")(max_steps=3).to_dict()
    # A busy machine gives less than all of a core, but all work is counted, and no waiting.
    assert 0 < result["cpu_share"] < (0.3 if wait else 1.1)
    assert result["cpu_seconds"] > 0.9 * sum(worked[-3:])  # The rehearsal comes before.
    assert result["cpu_seconds_possible"] - result["cpu_seconds"] > 2.9 * wait - 0.2
    share = result["cpu_seconds"] / result["cpu_seconds_possible"]
    assert result["cpu_share"] == pytest.approx(share, abs=1e-3)


def test_without_steps_there_is_no_share():
    assert TrainResult().to_dict()["cpu_share"] is None
