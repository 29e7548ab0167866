"""The server's page in a real browser: headless Chromium finds nothing to complain about."""

import shutil
import subprocess

import pytest
from served import loaded, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")


def test_the_page_shows_the_models_and_the_console_stays_empty(trained_run, tmp_path):
    models, loader = loaded(f"ner={trained_run('ner', 'bert')}")
    with serving(models, loader) as client:
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
        command += ["--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}"]
        command += ["--enable-logging=stderr", "--window-size=380,800", "--dump-dom"]
        command += ["--virtual-time-budget=20000", "--timeout=60000", f"{client.url}/"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert "One model is loaded." in done.stdout
    assert 'for="field-text"' in done.stdout and "ner (ner)" in done.stdout
