"""The pages of inspect, serve and export --web in a real browser, with texts that mean harm."""

import http.client
import itertools
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browser import browser as browser  # a fixture
from helpers.browser import open_page, requests
from helpers.running import charlm

from charlm.cells import CELLS
from charlm.checkpoint import Trained, load
from charlm.errors import UserError
from charlm.evaluation.scoring import Score
from charlm.export.web import web_files
from charlm.generation.generate import generate
from charlm.inspection import live
from charlm.inspection.features import Match, Ranking
from charlm.inspection.page import choose_units, page, quantise
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202eא\x00\x07😀\n"


def trained(cell: str = "lstm", characters: str = "abcdefgh \n", **options: Any) -> Trained:
    torch.manual_seed(0)
    vocabulary = Vocabulary(characters)
    model = CharLM(len(vocabulary), cell=cell, initialisation="uniform", **options).eval()
    # Far from even odds, and far from chaos, where rounding would soon make another text.
    with torch.no_grad():
        model.output.weight *= 5
    return Trained(model, vocabulary)


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


def ready(browser: Any) -> None:
    deadline = time.monotonic() + 30
    while browser.find_element("tag name", "body").get_attribute("data-ready") is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
    browser: Any, inspected: Path, server: live.Server, tmp_path: Path, which: str
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
    assert "\u202e" not in shown
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


# --- serve ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[live.Server]:
    models = [live.Model("<i>one", trained(hidden_sizes=[6])), live.Model("two", trained("gru"))]
    with live.Server(("127.0.0.1", 0), models) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


def ask(server: live.Server, body: object, **headers: str) -> tuple[int, list[Any]]:
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json"} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    connection.request("POST", "/continue", content, sent)
    response = connection.getresponse()
    lines = [json.loads(line) for line in response.read().splitlines()]
    connection.close()
    return response.status, lines


def test_it_streams_what_generate_writes(server: live.Server) -> None:
    status, events = ask(server, {"prefix": "abc", "num_characters": 30})
    assert status == 200
    model, vocabulary = server.models[0].trained
    written = "".join(event["c"] for event in events).replace("↵\n", "\n")
    assert written == generate(model, vocabulary, "abc", 30)
    assert [event["new"] for event in events] == [False] * 3 + [True] * 30
    drawn = {"prefix": "abc", "num_characters": 30, "temperature": 0.9, "top_k": 3, "seed": 5}
    _, events = ask(server, drawn)
    expected = generate(model, vocabulary, "abc", 30, temperature=0.9, top_k=3, seed=5)
    assert "".join(event["c"] for event in events).replace("↵\n", "\n") == expected
    # The surprisal of a character is that of the probability it was given just before.
    for before, event in itertools.pairwise(events):
        given = dict(map(tuple, before["p"]))
        symbol = {"↵\n": "↵", " ": "␣"}.get(event["c"], event["c"])
        if given.get(symbol, 0) > 1:
            assert 100 * 2 ** -event["bits"] == pytest.approx(given[symbol], rel=0.02)


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[" * 50_000,
        [],
        {"model": 2},
        {"model": True},
        {"prefix": 3},
        {"prefix": "a" * 5_001},
        {"prefix": "never seen: Z"},
        {"num_characters": 2_001},
        {"num_characters": -1},
        {"temperature": "hot"},
        {"temperature": -1},
        {"temperature": 1, "top_k": 0},
        {"seed": -1, "temperature": 1},
        {"seed": 1.5},
    ],
    ids=lambda body: str(body)[:30],
)
def test_a_request_out_of_bounds_is_refused_with_its_reason(
    server: live.Server, body: object
) -> None:
    status, (answer,) = ask(server, body)
    assert status == 400
    assert answer["error"].endswith(".")
    assert "Traceback" not in answer["error"]


def test_other_sites_and_oversized_requests_are_refused(server: live.Server) -> None:
    body = {"prefix": "a", "num_characters": 1}
    assert ask(server, body, Host="evil.example")[0] == 403
    assert ask(server, body, Origin="http://evil.example")[0] == 403
    assert ask(server, body, Content_Type="text/plain")[0] == 415
    assert ask(server, b" " * (live.MAX_BODY + 1))[0] == 413
    assert ask(server, body)[0] == 200


def test_too_many_at_once_are_told_to_wait(server: live.Server) -> None:
    taken = 0
    while server.vacancies.acquire(blocking=False):
        taken += 1
    try:
        assert ask(server, {"prefix": "a"})[0] == 503
    finally:
        for _ in range(taken):
            server.vacancies.release()


def test_two_models_write_side_by_side_in_the_browser(browser: Any, server: live.Server) -> None:
    browser.get_log("browser")
    browser.get(f"http://127.0.0.1:{server.server_address[1]}/")
    ready(browser)
    assert [h.text for h in browser.find_elements("tag name", "h2")] == ["<i>one", "two"]
    browser.find_element("id", "prefix").send_keys("abc <script>")
    browser.find_element("id", "go").click()
    deadline = time.monotonic() + 20
    while not browser.find_elements("css selector", ".error"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "never seen" in browser.find_element("css selector", ".error").text
    browser.find_element("id", "prefix").clear()
    browser.find_element("id", "prefix").send_keys("abc")
    browser.find_element("id", "go").click()
    while len(browser.find_elements("css selector", "i.new")) < 600:
        assert time.monotonic() < deadline + 30
        time.sleep(0.05)
    browser.find_element("tag name", "canvas").click()
    coloured = browser.find_elements("css selector", ".text i[style*='--strength']")
    assert len(coloured) == 303
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert all("400" in message for message in severe), "the refused prefix alone"


def test_ctrl_c_ends_the_command_cleanly(checkpoint: Path) -> None:
    command = [sys.executable, "-m", "charlm", "serve", "--checkpoint", str(checkpoint)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--host", "127.0.0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.2:")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert (
        err
        == "charlm: everybody who can reach 127.0.0.2 can use this page: there is no password.\n"
    )


def test_a_port_that_is_taken_is_told(server: live.Server, checkpoint: Path) -> None:
    given = ("--checkpoint", checkpoint, "--port", server.server_address[1])
    outcome = charlm("serve", *given)
    assert outcome.code == 1
    assert "give another --port" in outcome.err


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


@pytest.mark.parametrize("cell", sorted(set(CELLS) - {"rnn", "gru", "lstm"}))
def test_a_cell_without_a_step_in_javascript_is_refused_by_name(cell: str) -> None:
    with pytest.raises(UserError, match=rf"The cell {CELLS[cell].__name__} has no step in Java"):
        web_files(*trained(cell, hidden_sizes=[4]), "model")


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
