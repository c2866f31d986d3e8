"""Downloads of a corpus: what is kept, what is refused, and every fault of the network.

The servers are real ones on the loopback interface, each with the fault that its name tells.
"""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from charlm.errors import UserError
from charlm.text import corpora, download
from charlm.text.corpora import Corpus, CorpusUnavailable, locate, read_corpus

CONTENT = b"It was a bright cold day in April.\r\n" * 1000
SHA1 = hashlib.sha1(CONTENT).hexdigest()
OTHER = b"<html>Please log in.</html>"

Respond = Callable[[BaseHTTPRequestHandler], None]


def offer(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the only corpus be ``small``, from this address."""
    small = Corpus(title="A test", file="small.txt", url=url, sha1=SHA1)
    monkeypatch.setattr(corpora, "CORPORA", {"small": small})


@pytest.fixture
def serve(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Respond], str]]:
    """Serve the corpus ``small``; gives the address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers: list[ThreadingHTTPServer] = []

    def start(respond: Respond) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                respond(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                """Clients that hang up are what these tests are about."""

        server = Server(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/small.txt"
        offer(monkeypatch, url)
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, content: bytes, announced: int | None) -> None:
    handler.send_response(200)
    if announced is not None:
        handler.send_header("Content-Length", str(announced))
    handler.end_headers()
    handler.wfile.write(content)


def nothing_in(*folders: Path) -> bool:
    return not any(path.is_file() for folder in folders for path in folder.rglob("*"))


def test_a_download_is_kept_and_not_repeated(
    serve: Callable[[Respond], str], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    requests: list[str] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        requests.append(handler.path)
        send(handler, CONTENT, len(CONTENT))

    serve(respond)
    for _ in range(2):
        assert read_corpus("small") == CONTENT.decode().replace("\r\n", "\n")
    assert requests == ["/small.txt"]
    assert [path.name for path in cache.iterdir()] == ["small.txt"]
    assert (cache / "small.txt").read_bytes() == CONTENT
    output = capsys.readouterr()
    assert "Downloading small" in output.err
    assert output.out == ""


@pytest.mark.parametrize("kind", ["writable", "to be made", "read-only", "impossible"])
def test_a_download_goes_to_the_first_folder_that_can_be_written(
    serve: Callable[[Respond], str],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    serve(lambda handler: send(handler, CONTENT, len(CONTENT)))
    named = tmp_path / "named"
    if kind != "to be made":
        named.mkdir(mode=0o555 if kind == "read-only" else 0o755)
    if kind == "impossible":
        (named / "file").touch()
        named = named / "file" / "folder"
    monkeypatch.setenv("CHARLM_DATA", str(named))
    expected = named if kind in ("writable", "to be made") else cache
    assert locate("small") == expected / "small.txt"


def test_no_folder_to_write_to_is_told(
    serve: Callable[[Respond], str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(lambda handler: send(handler, CONTENT, len(CONTENT)))
    home.touch()  # a file: no folder can be made in it
    with pytest.raises(UserError, match=r"Can't write to .*/charlm: .* CHARLM_DATA"):
        locate("small")


def refuse(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    pass


def babble(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"what is this, if not HTTP?\r\n\r\n")


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT[:20_000], len(CONTENT))


def hang_at_once(handler: BaseHTTPRequestHandler) -> None:
    handler.rfile.read()  # until the client has hung up


def hang_half_way(handler: BaseHTTPRequestHandler) -> None:
    send(handler, CONTENT[:20_000], len(CONTENT))
    handler.rfile.read()


def drip(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", len(CONTENT))
    for byte in CONTENT:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.02)


def pour(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", None)
    while True:
        handler.wfile.write(CONTENT)


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (refuse, "HTTP 404 Not Found"),
        (hang_up, "Remote end closed connection without response"),
        (babble, "what is this"),
        (cut_off, "cut off after 20,000 of 36,000 bytes"),
        (hang_at_once, "no answer within 0.5 s"),
        (hang_half_way, "no answer within 0.5 s"),
        (drip, "not finished after 1 s"),
        (pour, "more than 1,000,000 bytes came"),
    ],
)
def test_a_failing_download_is_unavailable(
    serve: Callable[[Respond], str],
    home: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    respond: Respond,
    reason: str,
) -> None:
    monkeypatch.setattr(download, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(download, "DOWNLOAD_SECONDS", 1.0)
    monkeypatch.setattr(download, "MAX_DOWNLOAD_BYTES", 1_000_000)
    url = serve(respond)
    with pytest.raises(CorpusUnavailable) as caught:
        locate("small")
    message = str(caught.value)
    assert reason in message
    assert url in message
    assert f"put its file small.txt into {cache}" in message
    assert "CHARLM_DATA" in message
    assert nothing_in(home)


def test_no_server_is_unavailable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        offer(monkeypatch, f"http://127.0.0.1:{unused.getsockname()[1]}/small.txt")
        with pytest.raises(CorpusUnavailable, match="Connection refused"):
            locate("small")
    offer(monkeypatch, "http://no-such-host.invalid/small.txt")
    with pytest.raises(CorpusUnavailable, match=r"no-such-host\.invalid"):
        locate("small")
    assert nothing_in(home)


@pytest.mark.parametrize(
    ("sent", "announced"),
    [(OTHER, len(OTHER)), (CONTENT[:-1], None), (CONTENT + b"\n", len(CONTENT) + 1), (b"", 0)],
    ids=["a log-in page", "cut off without a length", "a byte more", "nothing"],
)
def test_wrong_bytes_are_never_used(
    serve: Callable[[Respond], str], home: Path, sent: bytes, announced: int | None
) -> None:
    url = serve(lambda handler: send(handler, sent, announced))
    with pytest.raises(UserError) as caught:
        locate("small")
    assert not isinstance(caught.value, CorpusUnavailable)  # no reason to train on another text
    message = str(caught.value)
    assert url in message
    assert SHA1 in message
    assert hashlib.sha1(sent).hexdigest() in message
    assert nothing_in(home)


LOCATE = """
import sys
from charlm.text import corpora
corpora.CORPORA = {"small": corpora.Corpus("A test", "small.txt", sys.argv[1], sys.argv[2])}
print(corpora.locate("small"))
"""


def start_locate(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LOCATE, url, SHA1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_both_get_it(serve: Callable[[Respond], str], cache: Path) -> None:
    both = threading.Barrier(2, timeout=60)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        both.wait()  # each has found no file
        send(handler, CONTENT[:20_000], len(CONTENT))
        both.wait()  # each is in the midst of it
        handler.wfile.write(CONTENT[20_000:])

    url = serve(respond)
    processes = [start_locate(url) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.strip()) == (0, str(cache / "small.txt")), err
    assert [path.name for path in cache.iterdir()] == ["small.txt"]
    assert (cache / "small.txt").read_bytes() == CONTENT


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, 9])
def test_an_interrupted_download_leaves_nothing(
    serve: Callable[[Respond], str], home: Path, number: int
) -> None:
    half_way = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        send(handler, CONTENT[:20_000], len(CONTENT))
        half_way.set()
        handler.rfile.read()

    process = start_locate(serve(respond))
    assert half_way.wait(60)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert nothing_in(home)
