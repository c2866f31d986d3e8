"""The pages of inspect, serve and export --web in a real browser, with texts that mean harm."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browser import browser as browser  # a fixture
from helpers.browser import open_page, ready, requests
from helpers.running import charlm
from helpers.serving import server as server  # a fixture
from helpers.serving import trained
from selenium.webdriver import ActionChains

from charlm.checkpoint import load
from charlm.evaluation.scoring import Score
from charlm.export.web import web_files
from charlm.generation.generate import generate
from charlm.inspection.features import Match, Ranking
from charlm.inspection.page import choose_units, page, quantise
from charlm.inspection.server import Server
from charlm.model import CharLM
from charlm.text.normalisation import NORMALISATIONS
from charlm.text.vocabulary import Vocabulary

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202eא\x00\x07😀\n"


# --- inspect -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def inspected(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspected")
    text = folder / "<b>it's.txt"
    text.write_text(
        "The time traveller, for so it will be convenient to speak of him. " * 12, encoding="utf-8"
    )
    made = folder / "page.html"
    given = ("--html", made, "--gradients", 60, "--steps_back", 20)
    outcome = charlm("inspect", "--checkpoint", checkpoint, text, *given)
    assert outcome.code == 0, outcome.err
    return made


def test_a_unit_colours_the_text_and_the_keys_move_in_it(browser: Any, inspected: Path) -> None:
    open_page(browser, inspected)
    ready(browser)
    assert browser.find_element("tag name", "h1").text == "<b>it's.txt"
    first = browser.find_elements("css selector", "#text i")[5]
    surprisal = first.value_of_css_property("background-color")
    browser.execute_script(
        "const part = document.getElementById('part'); part.value = 'layer1.hidden';"
        "part.dispatchEvent(new Event('change'))"
    )
    colours = {
        place.value_of_css_property("background-color")
        for place in browser.find_elements("css selector", "#text i")[:40]
    }
    assert len(colours) > 5
    assert first.value_of_css_property("background-color") != surprisal
    text = browser.find_element("id", "text")
    text.send_keys("\ue014" * 12)  # the right arrow
    assert browser.execute_script("return current") == 11
    card = browser.find_element("id", "card")
    assert "layer1.hidden 0 after it" in card.text
    assert "characters back" in card.text
    assert len(card.find_elements("tag name", "li")) == 5
    assert browser.find_elements("css selector", "#text i[style*='--back']")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests(browser))


def test_a_key_has_the_say_over_a_mouse_at_rest(browser: Any, inspected: Path) -> None:
    open_page(browser, inspected)
    ready(browser)
    last = len(browser.find_elements("css selector", "#text i")) - 1
    browser.execute_script("document.querySelector('#text').style.width = '9em'")
    place = browser.find_elements("css selector", "#text i")[2]
    ActionChains(browser).move_to_element(place).perform()
    assert browser.execute_script("return current") == 2
    text = browser.find_element("id", "text")
    text.send_keys("\ue010")  # End: the text scrolls under the mouse
    time.sleep(0.5)
    assert browser.execute_script("return scrollY") > 0
    assert browser.execute_script("return current") == last
    ActionChains(browser).move_by_offset(9, 3).perform()
    assert 0 < browser.execute_script("return current") < last


def test_the_search_names_units_with_their_held_out_figure(browser: Any, inspected: Path) -> None:
    open_page(browser, inspected, dark=True)
    ready(browser)
    browser.execute_script(
        "const find = document.getElementById('feature'); find.value = 'on spaces';"
        "find.dispatchEvent(new Event('change'))"
    )
    buttons = browser.find_elements("css selector", "#found button")
    assert buttons
    assert "held out" in buttons[0].text
    assert buttons[0].get_attribute("aria-pressed") == "true"
    buttons[1].click()
    assert buttons[1].get_attribute("aria-pressed") == "true"
    assert "Luck alone" in browser.find_element("id", "luck").text


def test_the_page_fits_a_phone(browser: Any, inspected: Path) -> None:
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        open_page(browser, inspected)
        ready(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CONTROLS = {
    "button",
    "checkbox",
    "combobox",
    "slider",
    "spinbutton",
    "textbox",
    "application",
    "image",
}


def controls(browser: Any) -> dict[str, list[str]]:
    """What a screen reader is told of the page: the names by role."""
    browser.execute_cdp_cmd("Accessibility.enable", {})
    found: dict[str, list[str]] = {}
    for node in browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]:
        if not node["ignored"]:
            name = node.get("name", {}).get("value", "")
            found.setdefault(node["role"]["value"], []).append(name)
    return found


@pytest.mark.parametrize("which", ["inspect", "serve", "web"])
def test_a_screen_reader_is_told_every_control_and_what_changes(
    browser: Any, inspected: Path, server: Server, tmp_path: Path, which: str
) -> None:
    if which == "serve":
        browser.get(f"http://127.0.0.1:{server.server_address[1]}/")
    else:
        for name, content in web_files(*trained(hidden_sizes=[4]), "model").items():
            (tmp_path / name).write_bytes(content)
        open_page(browser, inspected if which == "inspect" else tmp_path / "index.html")
    ready(browser)
    found = controls(browser)
    assert len(found["main"]) == 1
    assert "slider" in found
    for role in CONTROLS & set(found):
        assert all(name.strip() for name in found[role]), role
    assert "status" in found, "what changes is announced"
    if which == "inspect":
        # A value is said in words, not in a colour alone.
        browser.execute_script("choose('layer1.hidden', 0); show(5)")
        status = browser.find_element("css selector", "[role=status]#card")
        assert "layer1.hidden 0 after it" in status.text


def test_twenty_thousand_characters_of_512_units_stay_below_5_mb_and_say_what_is_left_out() -> None:
    rng = np.random.default_rng(0)
    N, K = 20_000, 5
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz \n.,")
    text = "".join(rng.choice(list(vocabulary.symbols[1:]), N))
    likeliest, probabilities = rng.integers(1, 31, (N, K)), rng.random((N, K))
    score = Score(text, rng.random(N), 0, likeliest, probabilities)
    parts = {f"layer1.{name}": rng.normal(size=(N, 512)) for name in ("hidden", "memory")}
    rankings = {"on spaces": Ranking([Match("layer1.memory", 500, 0.5, 0.4)], 0.1)}
    shares = rng.random((2_000, 64)).astype(np.float32)
    made = page("text", "model", vocabulary, score, parts, rankings, shares, 30_000)
    assert len(made.encode()) < 5_000_000
    for said in ("the first 20,000 of 30,000 characters", "of 1,024 units", "the first 2,000"):
        assert said in made
    assert 500 in choose_units(parts, rankings, 40)["layer1.memory"]


def test_values_come_back_from_their_bytes() -> None:
    values = np.random.default_rng(0).normal(size=(50, 3)) * [1e-3, 1, 40]
    as_bytes, scales = quantise(values)
    back = as_bytes.T / 127 * scales
    assert (np.abs(back - values).max(axis=0) <= np.abs(values).max(axis=0) / 127).all()


@pytest.mark.parametrize("normalisation", ["none", "letters"])
def test_documents_are_parted_before_they_are_normalised(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, normalisation: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("anna\n\nbob\ncarl\ndora\n" * 9, encoding="utf-8")
    options = ("--data.normalisation", normalisation, "--data.documents", "line")
    sizes = ("--data.num_lanes", 2, "--data.num_steps", 9, "--model.hidden_sizes", "[8]")
    fit = ("fit", "--data.path", "names.txt", *options, *sizes, "--trainer.max_epochs", 1)
    assert charlm(*fit, "--trainer.enable_progress_bar", "false").code == 0
    (checkpoint,) = Path().rglob("last.ckpt")
    for characters, shown, told in ((1000, 9 * 19, None), (7, 7, f"the first 7 of {9 * 19:,}")):
        given = ("--checkpoint", checkpoint, "--html", "page.html", "--characters", characters)
        outcome = charlm("inspect", "names.txt", *given)
        assert outcome.code == 0, outcome.err
        open_page(browser, tmp_path / "page.html")
        ready(browser)
        assert len(browser.find_elements("css selector", "#text i")) == shown
        words = browser.find_element("tag name", "body").text
        assert ("the first" in words) == (told is not None)
        assert told is None or told in words


def test_a_hostile_text_stays_text(browser: Any, tmp_path: Path) -> None:
    model, vocabulary = trained(characters="".join(sorted(set(HOSTILE))), hidden_sizes=[4])
    text = HOSTILE * 3
    from charlm.evaluation.scoring import score
    from charlm.inspection.recording import record

    ids = vocabulary.encode(text)
    scored = score(model, vocabulary, text, top_k=3)
    shares = np.zeros((0, 1), np.float32)
    made = page(
        HOSTILE, HOSTILE, vocabulary, scored, record(model, ids).parts, {}, shares, len(ids)
    )
    path = tmp_path / "page.html"
    path.write_text(made, encoding="utf-8")
    open_page(browser, path)
    ready(browser)
    shown = browser.find_element("id", "text").get_attribute("textContent")
    assert shown.startswith("</script><script>alert(1)</script><img src=x onerror=alert(1)>")
    page_text = browser.find_element("tag name", "body").get_attribute("textContent")
    assert "\u202e" not in page_text, "it would turn the page's own words about"
    assert len(browser.find_elements("css selector", "#text i")) == len(text)
    assert browser.find_elements("css selector", "img") == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--characters", 30_000), "a page shows 1 to 20,000"),
        (("--steps_back", 0), "steps_back must be at least 1"),
        (("other.txt",), "name one file"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    checkpoint: Path, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    (tmp_path / "a.txt").write_text("time", encoding="utf-8")
    made = tmp_path / "page.html"
    given = ("--checkpoint", checkpoint, "--html", made)
    outcome = charlm("inspect", tmp_path / "a.txt", *options, *given)
    assert outcome.code == 1
    assert reason in outcome.err
    assert not made.exists()


# --- export --web --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("rnn", {"hidden_sizes": [512]}),
        ("rnn", {"hidden_sizes": [9], "cell_options": {"nonlinearity": "relu"}}),
        ("gru", {"hidden_sizes": [7, 12], "readout": "concat"}),
        ("gru", {"hidden_sizes": [16], "cell_options": {"reset_after": False}}),
        ("lstm", {"hidden_sizes": [12, 9], "encoding": "embedding", "embedding_size": 5}),
    ],
)
def test_the_browser_writes_what_generate_writes(
    browser: Any, tmp_path: Path, cell: str, options: dict[str, Any]
) -> None:
    model, vocabulary = trained(cell, **options)
    for name, content in web_files(model, vocabulary, "<b>model").items():
        (tmp_path / name).write_bytes(content)
    open_page(browser, tmp_path / "index.html")
    ready(browser)
    script = (
        "const g = new Generator(MODEL); if (arguments[1]) g.multiply = null; g.readText('abc');"
        "let text = 'abc'; for (let n = 0; n < arguments[0]; n++) text += g.next(0); return text"
    )
    expected = generate(model, vocabulary, "abc", 200)
    for plain in (False, True):
        assert browser.execute_script(script, 200, plain) == expected
    assert browser.find_element("id", "name").text == "<b>model"


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_browser_normalises_a_prefix_as_the_text_was(
    browser: Any, tmp_path: Path, normalisation: str
) -> None:
    vocabulary = Vocabulary(" abcdefghijklmnopqrstuvwxyz", normalisation)
    for name, content in web_files(CharLM(len(vocabulary), [3]), vocabulary, "model").items():
        (tmp_path / name).write_bytes(content)
    open_page(browser, tmp_path / "index.html")
    ready(browser)
    for text in ("The Time Traveller, said", "  a -- b\n\n C'est\nla 世 fin. ", "e\u0301t\u00e9"):
        found = browser.execute_script("return NORMALISE[MODEL.normalisation](arguments[0])", text)
        assert found == vocabulary.normalise(text)


def test_the_browser_ends_a_document_where_generate_does(browser: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    vocabulary = Vocabulary("\nabcdefgh", documents="line")
    model = CharLM(len(vocabulary), [12], "lstm", initialisation="uniform").eval()
    with torch.no_grad():
        model.output.weight *= 5
        model.output.bias[vocabulary.mark_id] += 0.3
    for name, content in web_files(model, vocabulary, "names").items():
        (tmp_path / name).write_bytes(content)
    open_page(browser, tmp_path / "index.html")
    ready(browser)
    script = (
        "const g = new Generator(MODEL); g.readText(arguments[0]); let text = '', next;"
        "while (text.length < 60 && (next = g.next(0)) !== null) text += next; return text"
    )
    lengths = set()
    for prefix in ("", *"abcdefgh", "abc\nde"):
        expected = generate(model, vocabulary, prefix, 60)
        assert prefix + browser.execute_script(script, prefix) == expected
        lengths.add(len(expected))
    assert min(lengths) < 60 <= max(lengths)


def test_a_trained_model_is_exported_and_writes_a_thousand_characters(
    browser: Any, checkpoint: Path, tmp_path: Path
) -> None:
    outcome = charlm("export", "--checkpoint", checkpoint, "--web", tmp_path / "web")
    assert outcome.code == 0, outcome.err
    open_page(browser, tmp_path / "web" / "index.html")
    ready(browser)
    browser.find_element("id", "prefix").send_keys("time traveller")
    browser.execute_script(
        "document.getElementById('temperature').value = 0;"
        "document.getElementById('number').value = 1000"
    )
    browser.find_element("id", "go").click()
    deadline = time.monotonic() + 60
    while browser.find_element("tag name", "body").get_attribute("data-done") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    text = browser.find_element("id", "text").get_attribute("textContent")
    assert text == generate(*load(checkpoint), "time traveller", 1000)
    assert all(url.startswith(("file:", "data:")) for url in requests(browser))


def test_nowhere_to_write_to_is_told(checkpoint: Path) -> None:
    outcome = charlm("export", "--checkpoint", checkpoint)
    assert outcome.code == 1
    assert "--output" in outcome.err
