"""The shaded text: its colours, its signs, in a terminal, and in a browser."""

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.browser import browser as browser  # a fixture
from helpers.browser import open_page, requests
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.evaluation.scoring import Score, score
from charlm.evaluation.surprisal import page as page_module
from charlm.evaluation.surprisal.levels import BOUNDS, LABELS, levels
from charlm.evaluation.surprisal.page import page
from charlm.evaluation.surprisal.terminal import ansi
from charlm.model import CharLM
from charlm.text.visible import visible
from charlm.text.vocabulary import Vocabulary

# What is left of linear red, green and blue without one kind of cone (Viénot, Brettel & Mollon
# 1999, for protanopia and deuteranopia), and in grey.
SEEN = {
    "protanopia": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deuteranopia": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}


STYLE = (page_module.FOLDER / "page.css").read_text(encoding="utf-8")
# The (background, ink) of each level in the page's style: first the light page's, then the dark's.
_SHADES = re.findall(r"\.s\d \{\s*background: (#\w{6});\s*color: (#\w{6});\s*\}", STYLE)
LIGHT, DARK = _SHADES[:8], _SHADES[8:]


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, 0 to 1 (WCAG 2.2)."""
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def score_of(text: str, bits: list[float]) -> Score:
    empty = np.empty((len(text), 0))
    return Score(text, np.array(bits) * np.log(2), 0, empty, empty)


def uniform_model(text: str, **options: object) -> tuple[Vocabulary, Score]:
    """A drawn model's score of the text."""
    torch.manual_seed(0)
    vocabulary = Vocabulary.from_text(text)
    model = CharLM(len(vocabulary), hidden_sizes=[16], initialisation="uniform")
    torch.nn.init.normal_(model.output.weight, std=2.0)
    return vocabulary, score(model, vocabulary, text, top_k=5, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("shades", [LIGHT, DARK], ids=["light", "dark"])
def test_every_shade_can_be_read_and_keeps_its_order_for_every_eye(
    shades: list[tuple[str, str]],
) -> None:
    assert len(shades) == len(LABELS) == len(BOUNDS) + 1
    for paper, ink in shades:
        assert contrast(paper, ink) >= 4.5
        assert contrast(paper, ink) == max(contrast(paper, "#111111"), contrast(paper, "#ffffff"))
    for matrix in SEEN.values():
        rgb = [[int(paper[i : i + 2], 16) / 255 for i in (1, 3, 5)] for paper, _ in shades]
        seen = np.array(rgb) ** 2.2 @ np.array(matrix).T
        brightness = np.maximum(seen, 0) @ [0.2126, 0.7152, 0.0722]
        steps = [(max(pair) + 0.05) / (min(pair) + 0.05) for pair in itertools.pairwise(brightness)]
        assert min(steps) > 1.09
        assert (np.diff(brightness) > 0).all() or (np.diff(brightness) < 0).all()


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert luminance("#ff0000") == pytest.approx(0.2126)


def test_the_levels_are_what_the_legend_says() -> None:
    bits = np.array([0, 0.49, 0.5, 0.99, 1, 2.5, 3.9, 4, 7.9, 8, 300])
    assert levels(bits * np.log(2)) == [0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 7]
    assert LABELS[0] == "0-0.5"
    assert LABELS[-1] == "8+"


@given(st.characters(exclude_categories=["Cs"]))
@settings(max_examples=300)
def test_what_stands_for_a_character_does_nothing_but_show(character: str) -> None:
    shown = visible(character)
    assert shown.isprintable() or not character.isprintable()
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert shown not in {" ", "\u202e", "\u200d", "\u2028"}


def test_what_stands_for_what_cannot_be_seen() -> None:
    assert [visible(c) for c in (" ", "\n", "\t", "\x00", "\x1b", "\x7f", "\u202e", "é")] == list(
        "␣↵⇥␀␛␡▯é"
    )
    assert visible("<unk>") == "<unk>"


def test_the_terminal_gets_the_text_its_colours_and_nothing_that_the_text_brings() -> None:
    text = "ab c\n\nd\x1b[31m"
    printed = ansi(score_of(text, [0, 9, 9, 3, 1, 1, 1, 0, 0, 0, 0, 0]))
    legend, _, *lines = printed.split("\n")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))
    assert plain == "ab c↵\n↵\nd␛[31m"
    assert all(label in legend for label in LABELS)
    # Two characters of one level are one run, and no colour runs over a line's end.
    assert "\x1b[48;5;53;38;5;231mb \x1b[0m" in lines[0]
    assert all(line.endswith("\x1b[0m") for line in lines)
    assert "\x1b[31m" not in printed


def test_a_page_holds_a_hostile_text_as_text() -> None:
    text = "</script><script>alert(1)</script><!-- & \"'\n"
    vocabulary, scored = uniform_model(text)
    made = page([(f"<b>{text}", scored)], vocabulary, "<i>")
    assert "alert" not in made.replace("<i", "").split("<section>")[0]
    assert made.count("<script") == 2  # the data, and the page's own
    assert "<b>" not in made
    assert "<!--" not in made


def test_a_long_text_is_shown_in_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MAX_SHOWN", 10)
    vocabulary, scored = uniform_model("abcdefghijkl")
    made = page([("text", scored)], vocabulary, "model")
    assert made.count('<i class="s') == 10
    assert "The first 10 characters are shown." in made


@pytest.fixture(scope="module")
def opened(browser: Any, novel: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The browser with a page of two texts open."""
    text = "At once.\n\tAnd: <again> & again" + novel[3000:5000]
    vocabulary, scored = uniform_model(text)
    path = tmp_path_factory.mktemp("page") / "page.html"
    short = score_of("at¿", [0.1, 5, 20])
    path.write_text(page([("one", scored), ("two", short)], vocabulary, "RNN 16"), "utf-8")
    browser.scored, browser.vocabulary, browser.page = scored, vocabulary, path
    open_page(browser, path)
    return browser


def find(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements("css selector", selector)
    return found


def point_at(browser: Any, element: Any) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).move_to_element(element).perform()


def test_each_character_is_shaded_by_its_surprisal(opened: Any) -> None:
    text = find(opened, ".text")[0]
    shown = opened.execute_script(
        "return [...arguments[0].children].map("
        "e => [e.textContent, getComputedStyle(e).backgroundColor])",
        text,
    )
    expected = [
        (
            {"\n": "↵\n", "\t": "⇥"}.get(character, character),
            "rgb({}, {}, {})".format(*bytes.fromhex(LIGHT[level][0][1:])),
        )
        for character, level in zip(opened.scored.text, levels(opened.scored.nats_N), strict=True)
    ]
    assert [tuple(pair) for pair in shown] == expected
    assert len({colour for _, colour in expected}) > 4
    assert find(opened, "i.u")[0].text == "¿"  # the one that the model doesn't know
    legend = [item.text for item in find(opened, ".legend li")]
    assert legend == list(LABELS)


def test_the_likeliest_characters_show_on_hover_and_go_again(opened: Any) -> None:
    card = find(opened, "#card")[0]
    assert not card.is_displayed()
    for place in (3, 40, 200):
        point_at(opened, find(opened, f".text i:nth-child({place + 1})")[0])
        assert card.is_displayed()
        rows = [row.text.split("\n") for row in find(opened, "#card li")]
        scored, symbols = opened.scored, opened.vocabulary.symbols
        expected = [visible(symbols[i]) for i in scored.top_ids_NK[place]]
        assert [row[0] for row in rows] == expected
        shares = [float(row[-1].removesuffix(" %")) / 100 for row in rows]
        assert shares == pytest.approx(scored.top_probabilities_NK[place].tolist(), abs=6e-4)
        bits = scored.nats_N[place] / np.log(2)
        assert f"{visible(scored.text[place])} · {bits:.2f} bits" in card.text
        # It lies in view.
        assert opened.execute_script(
            "const b = arguments[0].getBoundingClientRect();"
            "return b.top >= 0 && b.left >= 0 && b.bottom <= innerHeight && b.right <= innerWidth",
            card,
        )
    point_at(opened, find(opened, "h1")[0])
    assert not card.is_displayed()


def test_the_arrow_keys_move_from_character_to_character(opened: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    text = find(opened, ".text")[0]
    opened.execute_script("arguments[0].focus()", text)
    text.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert [place.text for place in find(opened, "i.on")] == ["t"]
    assert find(opened, "#card b")[0].text == "t"
    text.send_keys(Keys.ESCAPE)
    assert not find(opened, "#card")[0].is_displayed()


def test_in_the_dark_the_surprising_is_bright(opened: Any) -> None:
    colours = {}
    for dark in (False, True):
        open_page(opened, opened.page, dark)
        colours[dark] = opened.execute_script(
            "return [document.body, ...document.querySelectorAll('.legend li')].map("
            "e => getComputedStyle(e).backgroundColor)"
        )
    expected = ["rgb({}, {}, {})".format(*bytes.fromhex(paper[1:])) for paper, _ in DARK]
    assert colours[True] == [expected[0], *expected]
    assert colours[False] != colours[True]


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened: Any) -> None:
    open_page(opened, opened.page)
    point_at(opened, find(opened, ".text i:nth-child(6)")[0])
    assert requests(opened) == [opened.page.as_uri()]
    assert opened.get_log("browser") == []


def test_a_narrow_page_needs_no_scrolling_sideways(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        open_page(opened, opened.page)
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_is_one_file(opened: Any) -> None:
    content = Path(opened.page).read_text("utf-8")
    assert not re.search(r"(?:src|href)=\"(?!data:)", content)
    assert "http://" not in content
    assert "https://" not in content
    assert "default-src 'none'" in content
