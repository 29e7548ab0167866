"""The server's page in a real browser: headless Chromium finds nothing to complain about."""

import pytest
from browser import CHROMIUM, browsing
from served import loaded, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)"),
]

STATUS = "document.getElementById('status').textContent"
PICK = """(names => document.querySelectorAll('input[name=model]').forEach(box => {
  box.checked = names.includes(box.value);
  box.dispatchEvent(new Event('change'));
}))"""


def test_the_page_shows_the_models_and_the_console_stays_empty(trained_run, tmp_path):
    models, loader = loaded(f"ner={trained_run('ner', 'bert')}")
    with (
        serving(models, loader) as client,
        browsing(tmp_path / "profile", client.url, width=380) as page,
    ):
        page.until(f"{STATUS} == 'One model is loaded.'")
        shown = page.run("document.body.outerHTML")
        assert page.run("document.documentElement.scrollWidth") == 380
        assert page.complaints == []
    assert 'for="field-text"' in shown and "ner (ner)" in shown


def test_texts_and_files_are_answered(trained_run, tmp_path):
    models, loader = loaded(
        f"ner={trained_run('ner', 'bert')}", f"single={trained_run('single', 'bert')}"
    )
    long = "x" * 20_001
    table = tmp_path / "rows.csv"
    rows = [f"{n},anna lives in oslo" for n in range(70)]
    table.write_text("\n".join(["id,message", *rows, f"70,{long}"]), "utf-8")
    with serving(models, loader) as client, browsing(tmp_path / "profile", client.url) as page:
        page.until(f"{STATUS} == '2 models are loaded.'")
        page.run("document.getElementById('field-text').value = '<b>anna</b> lives in oslo'")
        page.run("document.getElementById('ask').requestSubmit()")
        page.until(f"{STATUS}.startsWith('Answered in')")
        shown = page.run("document.getElementById('results').innerText")
        assert "anna" in shown and "lives in" in shown and "single" in shown
        assert page.run("document.querySelectorAll('#results b').length") == 0
        # Without a model there is nothing to ask, whatever keys are pressed; the text stays.
        page.run(f"{PICK}([])")
        before = page.run(STATUS)
        page.run("document.getElementById('ask').requestSubmit()")
        assert page.run(STATUS) == before
        page.run(f"{PICK}(['single'])")
        assert page.run("document.getElementById('field-text').value").startswith("<b>anna")
        # A file: the chosen column stays, and so does the table that was asked about.
        page.choose_file("#csv", table)
        page.until("!document.getElementById('run').disabled")
        page.run("document.getElementById('column-text').value = '1'")
        page.run(f"{PICK}(['ner', 'single'])")
        assert page.run("document.getElementById('column-text').value") == "1"
        page.run("document.getElementById('run').click()")
        page.run(f"{PICK}(['ner', 'single'])")
        assert page.run("document.getElementById('run').disabled")
        page.until("!document.getElementById('download').hidden")
        assert page.run(STATUS) == "All 71 rows answered. Refused: 1, see the column error."
        first = page.run("document.querySelector('#preview tbody tr').textContent")
        assert first.startswith("0anna lives in oslo[{") and "person" in first
