"""The HTML report in a real browser: headless Chromium finds nothing to complain about."""

import shutil
import subprocess

import pytest
from report_records import HOSTILE, record, write_records

from lowcost_ft.report.writing import Options, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")


def browse(tmp_path, page, *flags):
    """Opens a page; returns the DOM and what the console said."""
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", *flags]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def page(tmp_path):
    runs = {
        "lora-0": record(score=0.8, labels=(HOSTILE, "place")),
        "lora-1": record(seed=1, score=0.82, labels=(HOSTILE, "place")),
        "full": record("full", memory=900e6, labels=(HOSTILE, "place")),
        "oom": record("head", status="out_of_memory", labels=(HOSTILE, "place")),
    }
    folder = write_records(tmp_path / "results", **runs)
    write_report([folder], tmp_path / "report.html", Options(memory_budget=1e9))
    return tmp_path / "report.html"


def test_the_console_stays_empty(tmp_path, page):
    dom, console = browse(tmp_path, page, "--dump-dom")
    assert console == []
    assert "Use LoRA." in dom and "out of memory" in dom
    assert "<script" not in dom


def test_what_the_console_says_would_be_seen(tmp_path):
    page = tmp_path / "loud.html"
    page.write_text("<script>console.error('no such thing')</script>")
    _, console = browse(tmp_path, page, "--dump-dom")
    assert "no such thing" in " ".join(console)


def test_it_prints(tmp_path, page):
    pdf = tmp_path / "report.pdf"
    _, console = browse(tmp_path, page, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
    assert console == []
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 20_000
