"""What is loaded to predict: what training, scoring and other files need is not."""

import subprocess
import sys

CODE = """
import sys
from lowcost_ft import load_predictor
for folder in sys.argv[1:]:
    assert load_predictor(folder)(["chen wei lives in oslo"])
print(*sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)))
"""
NEEDED_ELSEWHERE = {
    *("datasets", "evaluate", "pandas", "pyarrow", "sklearn", "seqeval", "scipy.stats"),
    *("matplotlib", "lowcost_ft.scores.metrics"),
}


def loaded(*folders):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *folders], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_predicting_loads_what_predicting_needs(trained_run):
    modules = loaded(*(trained_run(kind, "bert") for kind in ("ner", "single")))
    assert "torch" in modules
    assert modules & NEEDED_ELSEWHERE == set()
