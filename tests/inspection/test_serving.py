"""``charlm serve``: what it answers, to whom, and that misuse disturbs nobody."""

import http.client
import itertools
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.browser import browser as browser  # a fixture
from helpers.browser import ready
from helpers.running import charlm
from helpers.serving import server as server  # a fixture

from charlm.checkpoint import Trained
from charlm.generation.generate import generate
from charlm.generation.sampling import SamplingOptions
from charlm.inspection import server as serving
from charlm.inspection.live import Model, Request, events
from charlm.inspection.server import MAX_BODY, Handler, Server
from charlm.model import CharLM
from charlm.text.vocabulary import Vocabulary


def ask(server: Server, body: object, **headers: str) -> tuple[int, list[Any]]:
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


def test_it_streams_what_generate_writes(server: Server) -> None:
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
        b'{"temperature": NaN}',
        b'{"temperature": 1%s}' % (b"0" * 400),
        {"prefix": "\ud800"},
    ],
    ids=lambda body: str(body)[:30],
)
def test_a_request_out_of_bounds_is_refused_with_its_reason(server: Server, body: object) -> None:
    status, (answer,) = ask(server, body)
    assert status == 400
    assert answer["error"].endswith(".")
    assert "Traceback" not in answer["error"]


def test_other_sites_and_oversized_requests_are_refused(server: Server) -> None:
    body = {"prefix": "a", "num_characters": 1}
    assert ask(server, body, Host="evil.example")[0] == 403
    assert ask(server, body, Origin="http://evil.example")[0] == 403
    assert ask(server, body, Content_Type="text/plain")[0] == 415
    assert ask(server, b" " * (MAX_BODY + 1))[0] == 413
    assert ask(server, body)[0] == 200


def test_a_method_or_a_length_that_makes_no_sense_is_refused(server: Server) -> None:
    port = server.server_address[1]
    asked = (("PUT", "/", {}, 501), ("POST", "/continue", {"Content-Length": "²"}, 413))
    for method, path, headers, status in asked:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.putrequest(method, path)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_browsers_at_once_each_get_their_own_text(server: Server) -> None:
    model, vocabulary = server.models[0].trained
    prefixes = ["a", "bc", "hg f"]
    written: dict[str, str] = {}

    def write(prefix: str) -> None:
        _, events = ask(server, {"prefix": prefix, "num_characters": 100})
        written[prefix] = "".join(event["c"] for event in events).replace("↵\n", "\n")

    threads = [threading.Thread(target=write, args=[prefix]) for prefix in prefixes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == {prefix: generate(model, vocabulary, prefix, 100) for prefix in prefixes}


def test_browsers_that_are_slow_or_gone_disturb_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.3)
    begun = (
        b"POST /continue HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
        b"Content-Length: 90\r\n\r\n{" % server.server_address[1]
    )
    # One goes at once, without a farewell.
    gone = socket.create_connection(server.server_address[:2], 10)
    gone.sendall(begun)
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    gone.close()
    slow = [socket.create_connection(server.server_address[:2], 10) for _ in range(12)]
    for connection in slow:
        connection.sendall(begun)
    assert ask(server, {"prefix": "a", "num_characters": 1})[0] == 200
    # Of those that never end, the server takes leave.
    for connection in slow:
        assert connection.recv(1000) == b""
        connection.close()
    assert ask(server, {"prefix": "a", "num_characters": 1})[0] == 200
    assert capfd.readouterr().err == ""


def test_a_document_s_continuation_ends_with_it() -> None:
    torch.manual_seed(3)
    vocabulary = Vocabulary("\nabcdefgh", documents="line")
    model = CharLM(len(vocabulary), [12], "lstm", initialisation="uniform").eval()
    with torch.no_grad():
        model.output.bias[vocabulary.mark_id] += 1
    sampling = SamplingOptions(1.0)
    lengths = set()
    for seed in range(5):
        request = Request(0, "ab", 60, seed, sampling)
        written = "".join(e["c"] for e in events([Model("m", Trained(model, vocabulary))], request))
        assert written == generate(model, vocabulary, "ab", 60, temperature=1.0, seed=seed)
        lengths.add(len(written))
    assert min(lengths) < 62


def test_only_its_own_names_are_answered() -> None:
    with Server(("localhost", 0), []) as started:
        port = started.server_address[1]
        for name in ("localhost", "127.0.0.1"):
            assert started.is_called(f"{name}:{port}")
        assert not started.is_called("localhost")
        assert not started.is_called(f"evil.example:{port}")
        started.server_address = ("127.0.0.1", 80)
        assert started.is_called("localhost"), "a browser leaves out port 80"
    with Server(("0.0.0.0", 0), []) as everywhere:
        assert everywhere.is_called("any.name")


def test_too_many_at_once_are_told_to_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_WAIT", 0.1)
    taken = 0
    while server.vacancies.acquire(blocking=False):
        taken += 1
    try:
        assert ask(server, {"prefix": "a"})[0] == 503
    finally:
        for _ in range(taken):
            server.vacancies.release()


def test_two_models_write_side_by_side_in_the_browser(browser: Any, server: Server) -> None:
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
    # The same by keyboard alone, and said in words.
    column = browser.find_element("tag name", "section")
    column.find_element("css selector", "select").send_keys("\ue015")  # the down arrow
    assert not column.find_elements("css selector", ".text i[style*='--strength']")
    column.find_element("css selector", "input").send_keys("4")
    assert len(column.find_elements("css selector", ".text i[style*='--strength']")) == 303
    text = column.find_element("class name", "text")
    text.send_keys("\ue011\ue014\ue014")  # Home, right arrow twice
    assert text.find_element("class name", "on").text == "c"
    said = column.find_element("css selector", ".choice ~ [role=status]").text
    assert said.startswith("c · ")
    assert "layer1.memory 4 after it: " in said
    severe = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert all("400" in message for message in severe), "the refused prefix alone"


def test_ctrl_c_ends_the_command_cleanly_while_it_writes(checkpoint: Path, tmp_path: Path) -> None:
    served = shutil.copy(checkpoint, tmp_path / "served.ckpt")
    command = [sys.executable, "-m", "charlm", "serve", "--checkpoint", str(served)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--host", "127.0.0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline()
    assert address.startswith("http://127.0.0.2:")
    served.unlink()
    connection = http.client.HTTPConnection(address.split()[0].removeprefix("http://"), timeout=30)
    body = json.dumps({"prefix": "time", "num_characters": 2_000, "temperature": 1})
    connection.request("POST", "/continue", body, {"Content-Type": "application/json"})
    assert json.loads(connection.getresponse().readline())["c"] == "t"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    connection.close()
    assert process.returncode == 0
    assert (
        err
        == "charlm: everybody who can reach 127.0.0.2 can use this page: there is no password.\n"
    )


def test_a_port_that_is_taken_is_told(server: Server, checkpoint: Path) -> None:
    given = ("--checkpoint", checkpoint, "--port", server.server_address[1])
    outcome = charlm("serve", *given)
    assert outcome.code == 1
    assert "give another --port or --host" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_host_that_is_not_here_is_told(checkpoint: Path) -> None:
    given = ("--checkpoint", checkpoint, "--port", 0)
    outcome = charlm("serve", *given, "--host", "203.0.113.7")  # for documentation (RFC 5737)
    assert outcome.code == 1
    assert "Can't listen on 203.0.113.7:0" in outcome.err
    assert "give another --port or --host" in outcome.err


@pytest.mark.gpu
def test_a_model_on_a_gpu_writes() -> None:
    vocabulary = Vocabulary("ab ")
    model = Trained(CharLM(len(vocabulary), [4], "lstm").cuda().eval(), vocabulary)
    written = list(events([Model("m", model)], Request(0, "ab", 3, 0, SamplingOptions())))
    assert len([event for event in written if event["new"]]) == 3
