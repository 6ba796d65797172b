"""`dvc plots` opens without a network: the page it fills is committed, whole, and draws every chart."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from afina.plots_page import page

ROOT = Path(__file__).parents[2]
PROBE = """<script>setTimeout(() => {
  const drawn = [...document.querySelectorAll("svg.marks")].filter(
    node => node.querySelector(".role-mark path[d]:not([d=''])") && node.getBoundingClientRect().height > 200);
  document.title = JSON.stringify({drawn: drawn.length, fetched: performance.getEntriesByType("resource").length});
}, 1500)</script>"""


def test_the_page_that_dvc_fills_is_committed_as_the_pinned_scripts_make_it():
    config = configparser.ConfigParser()
    config.read(ROOT / ".dvc/config")
    named = ROOT / ".dvc" / config["plots"]["html_template"]
    assert named.read_text("utf-8") == page(), "run python -m afina.plots_page"
    assert named.stat().st_size < 1_000_000


@pytest.mark.parametrize("words", [["show"], ["diff", "HEAD"]])
def test_a_browser_without_a_network_draws_every_chart(tmp_path, words):
    command = [sys.executable, "-m", "dvc", "plots", *words, "-o", str(tmp_path / "plots")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    text = (tmp_path / "plots/index.html").read_text("utf-8")
    charts = len(re.findall(r"vegaEmbed\('#", text))
    assert charts == 4
    assert re.findall(r"<(?:script|link)[^>]+(?:src|href)", text) == []
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on PATH")
    probe = tmp_path / "probe.html"
    # The scripts hold "</body>", too.
    probe.write_text(text[: text.rindex("</body>")] + PROBE, "utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    more = ["--disable-component-update", "--virtual-time-budget=6000", "--host-resolver-rules=MAP * ~NOTFOUND"]
    done = subprocess.run(
        [browser, *flags.split(), *more, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    seen = json.loads(re.search(r"<title>(.*?)</title>", done.stdout).group(1))
    assert seen == {"drawn": charts, "fetched": 0}
