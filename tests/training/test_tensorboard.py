"""What a person sees in TensorBoard: its server, started on a real run's log, asked by HTTP."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.browser import browser  # noqa: F401
from helpers.running import CONFIGS, charlm
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.usefixtures("novel")

OPTIONS = ("--data.val_size", 1000, "--trainer.max_epochs", 2, "--samples.every_n_epochs", 1)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where TensorBoard serves the log of a short run."""
    folder = tmp_path_factory.mktemp("watched")
    outcome = charlm(
        *("fit", "--config", CONFIGS / "debug.yaml", "--trainer.default_root_dir", folder), *OPTIONS
    )
    assert outcome.code == 0, outcome.err
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder / "lightning_logs"]
    # The quick loader is a program of its own; this one reads before it answers.
    options = ["--port", "0", "--load_fast", "false", "--window_title", "charlm"]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"http://\S+:\d+/", line):
                yield found[0]
                break
        else:
            pytest.fail("TensorBoard ended without serving")
        server.terminate()


def get(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"{address}data/plugin/{path}", timeout=30) as response:
        return json.load(response)


def test_the_scalars_stand_under_the_names_of_the_design(address: str) -> None:
    (tags,) = get(address, "scalars/tags").values()
    assert set(tags) >= {
        "train/loss",
        "train/perplexity",
        "train/grad_norm",
        "val/loss",
        "val/perplexity",
        "val/bits_per_character",
        "throughput/characters_per_second",
    }
    points = get(address, "scalars/scalars?run=version_0&tag=train%2Fperplexity")
    assert len(points) == 2
    assert all(value > 1 for _, _, value in points)


def test_the_samples_stand_in_the_text_tab(address: str) -> None:
    (tags,) = get(address, "text/tags").values()
    assert set(tags) == {f"samples/{text}/text_summary" for text in ("time traveller", "traveller")}
    texts = get(address, "text/text?run=version_0&tag=samples%2Ftime+traveller%2Ftext_summary")
    assert len(texts) == 2
    assert all("time traveller" in text["text"] for text in texts)


def test_the_run_has_its_row_of_hyper_parameters(address: str) -> None:
    request = urllib.request.Request(
        f"{address}data/plugin/hparams/experiment",
        data=json.dumps({"experimentName": ""}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        experiment = json.load(response)
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert names >= {"model/cell", "model/hidden_sizes", "data/corpus_used", "data/num_steps"}


@pytest.mark.parametrize(
    ("tab", "shown"),
    [
        ("timeseries", "throughput"),
        ("text", "samples/time traveller/text_summary"),
        ("hparams", "data/corpus_used"),
    ],
)
def test_a_person_sees_it_in_a_browser(address: str, browser: Any, tab: str, shown: str) -> None:
    browser.get("about:blank")
    browser.get(f"{address}#{tab}")
    # TensorBoard's tabs are custom elements, one in the shadow of another.
    everything = """
        const text = node => [
            node.nodeType === Node.TEXT_NODE ? node.textContent : "",
            ...[...(node.shadowRoot?.childNodes ?? []), ...node.childNodes].map(text),
        ].join("");
        return text(document.body);
    """
    WebDriverWait(browser, 30).until(lambda driver: shown in driver.execute_script(everything))


def test_the_log_folder_is_the_one_that_make_tensorboard_serves() -> None:
    makefile = (Path(__file__).parent.parent.parent / "Makefile").read_text(encoding="utf-8")
    assert "tensorboard --logdir lightning_logs" in makefile
