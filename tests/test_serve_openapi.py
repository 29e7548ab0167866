"""Schemathesis makes requests of the OpenAPI document; the server answers each as it says."""

import importlib.util
import subprocess
import sys

import pytest
from served import loaded, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("schemathesis") is None, reason="pip install schemathesis"
    ),
]
# A request that the document allows may still be none for the model at hand, as a document cannot
# say that: a text of another kind, or a parameter of another task.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
CHECKS += ",response_schema_conformance,negative_data_rejection,unsupported_method,use_after_free"


@pytest.mark.parametrize("studio", [False, True])
def test_the_server_is_what_its_document_says(trained_run, studio):
    models, loader = loaded(f"single={trained_run('single', 'bert')}")
    with serving(models, loader, studio=studio) as client:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{client.url}/openapi.json"]
        command += ["--max-examples", "100", "--phases", "examples,coverage,fuzzing"]
        done = subprocess.run([*command, "--checks", CHECKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]
