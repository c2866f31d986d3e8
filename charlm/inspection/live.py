"""``charlm serve``'s server: a page on which models write as one watches, on this machine only.

    H units of a layer · V vocabulary

It is the standard library's HTTP server. A request names a checkpoint by its number, and its
prefix is data: it is sent back as JSON and set as text, never as markup. Sizes, lengths and the
time of a request are bounded, and requests that another site's page could send are refused.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from charlm.checkpoint import Trained
from charlm.errors import UserError
from charlm.generation.context import Context, begin, check_prefix
from charlm.generation.sampling import SamplingOptions
from charlm.text.visible import in_running_text, visible

MAX_BODY = 64 * 1024  # bytes
MAX_PREFIX = 5_000  # characters
MAX_CHARACTERS = 2_000
MAX_SECONDS = 60.0
MAX_AT_ONCE = 8
NUM_ALTERNATIVES = 8
ASSETS = {"/": ("serve.html", "text/html"), "/serve.js": ("serve.js", "text/javascript")} | {
    "/serve.css": ("serve.css", "text/css")
}
POLICY = (
    "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Model(NamedTuple):
    """A checkpoint that is served: what to call it, and what it holds."""

    name: str
    trained: Trained


class Request(NamedTuple):
    """What a page asks for, checked.

    Raises (``of``):
        UserError: something is missing, of another type, or out of its bounds.
    """

    model: int
    prefix: str
    num_characters: int
    seed: int | None
    sampling: SamplingOptions

    @classmethod
    def of(cls, body: Any, num_models: int) -> "Request":
        if not isinstance(body, dict):
            raise UserError("The request isn't a JSON object.")
        model, prefix = body.get("model", 0), body.get("prefix", "")
        number, seed = body.get("num_characters", 200), body.get("seed")
        if not (_is_int(model) and 0 <= model < num_models):
            raise UserError(f"There is no model {model!r}: there are {num_models}.")
        if not isinstance(prefix, str) or len(prefix) > MAX_PREFIX:
            raise UserError(f"The prefix must be a text of at most {MAX_PREFIX:,} characters.")
        if not (_is_int(number) and 0 <= number <= MAX_CHARACTERS):
            raise UserError(f"num_characters must be between 0 and {MAX_CHARACTERS:,}.")
        if seed is not None and not _is_int(seed):
            raise UserError("seed must be a whole number.")
        temperature, top_k = body.get("temperature", 0.0), body.get("top_k")
        if not isinstance(temperature, int | float) or isinstance(temperature, bool):
            raise UserError("temperature must be a number.")
        if top_k is not None and not _is_int(top_k):
            raise UserError("top_k must be a whole number.")
        # Without a temperature nothing is drawn, and there is nothing to choose from.
        sampling = SamplingOptions(float(temperature), top_k=top_k if temperature else None)
        return cls(model, prefix, number, seed, sampling)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def events(models: Sequence[Model], request: Request) -> Iterator[dict[str, Any]]:
    """What happens at each character of the prefix, then of the continuation.

    Yields:
        Objects with ``c``, the character as it is shown; ``new``, whether the model wrote it;
        ``bits``, its surprisal; ``p``, the likeliest characters after it with their percentages;
        ``u``, the units of every part of the state, as signed bytes in base64.

    Raises:
        UserError: the prefix has characters that the model has never seen.
    """
    model, vocabulary = models[request.model].trained
    text = check_prefix(vocabulary, request.prefix) if request.prefix else ""
    context = begin(model, vocabulary)
    for id_ in map(int, vocabulary.encode(text)):
        log_p_V = _log_probabilities(context)
        context = context.read_ids([id_])
        yield _event(context, id_, log_p_V[id_], new=False)
    continuation = context.stream(request.seed, request.sampling)
    for _ in range(request.num_characters):
        log_p_V = _log_probabilities(continuation.context)
        id_ = vocabulary.symbols.index(next(continuation))
        yield _event(continuation.context, id_, log_p_V[id_], new=True)


def _log_probabilities(context: Context) -> np.ndarray:
    logits_V = context.stepper.logits(context.state)[0].astype(np.float64)
    shifted_V = logits_V - logits_V.max()
    log_p_V: np.ndarray = shifted_V - np.log(np.exp(shifted_V).sum())
    return log_p_V


def _event(context: Context, id_: int, log_p: float, new: bool) -> dict[str, Any]:
    log_p_V = _log_probabilities(context)
    likeliest = np.argsort(-log_p_V, kind="stable")[:NUM_ALTERNATIVES]
    symbols = context.vocabulary.symbols
    character = symbols[id_]
    return {
        "c": in_running_text(character),
        "new": new,
        "bits": round(-log_p / np.log(2), 3),
        "p": [[visible(symbols[i]), round(100 * float(np.exp(log_p_V[i])), 2)] for i in likeliest],
        "u": [base64.b64encode(_as_bytes(part)).decode() for part in _parts(context)],
    }


def _parts(context: Context) -> list[np.ndarray]:
    return [np.asarray(part)[0] for cell_state in context.state for part in cell_state]


def _as_bytes(units_H: np.ndarray) -> bytes:
    """A memory may grow beyond 1: squashed, as the cell itself does before it is used."""
    return np.rint(127 * np.tanh(units_H)).astype(np.int8).tobytes()


def about(models: Sequence[Model]) -> list[dict[str, Any]]:
    """What the page is told of each model."""
    return [
        {
            "name": name,
            "parts": [
                {"name": f"layer{number}.{part}", "size": cell.hidden_size}
                for number, cell in enumerate(trained.model.cells, start=1)
                for part in cell.state_names
            ],
        }
        for name, trained in models
    ]


class Server(ThreadingHTTPServer):
    """Serves the page and the models to it.

    Args:
        address: host and port; port 0 takes a free one.
        models: what to serve, at least one.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], models: Sequence[Model]) -> None:
        self.models = models
        self.vacancies = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(address, Handler)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 20  # seconds that a browser may take to send its request
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "charlm", ""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is the user's."""

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        if self.path == "/models":
            self._send(HTTPStatus.OK, "application/json", json.dumps(about(self.server.models)))
        elif self.path in ASSETS:
            name, kind = ASSETS[self.path]
            content = (files("charlm.inspection") / "assets" / name).read_text(encoding="utf-8")
            self._send(HTTPStatus.OK, kind, content)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/continue":
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON.")
        elif not length.isdigit() or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Send at most {MAX_BODY:,} bytes.")
        elif not self.server.vacancies.acquire(blocking=False):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many texts are being written.")
        else:
            try:
                self._continue(self.rfile.read(int(length)))
            finally:
                self.server.vacancies.release()

    def _continue(self, content: bytes) -> None:
        try:
            request = Request.of(json.loads(content), len(self.server.models))
            stream = events(self.server.models, request)
            first = next(stream, None)
        except (UserError, ValueError, RecursionError) as error:
            told = str(error) if isinstance(error, UserError) else "The request isn't JSON."
            self._refuse(HTTPStatus.BAD_REQUEST, told)
            return
        self.send_response(HTTPStatus.OK)
        self._headers("application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        ends_at = time.monotonic() + MAX_SECONDS
        try:
            if first is not None:
                self._line(first)
            for event in stream:
                if time.monotonic() > ends_at:
                    self._line({"error": f"Stopped after {MAX_SECONDS:g} seconds."})
                    return
                self._line(event)
        except UserError as error:
            self._line({"error": str(error)})
        except OSError:
            pass  # the page was closed, or asked for something else

    def _line(self, event: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(event).encode() + b"\n")
        self.wfile.flush()

    def _is_for_us(self) -> bool:
        """Refuse another site's page: it would send its own origin, or its own name as the host."""
        host, port = self.headers.get("Host", ""), self.server.server_address[1]
        bound = self.server.server_address[0]
        names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", str(bound))}
        is_anywhere = bound in ("0.0.0.0", "::")
        origin = self.headers.get("Origin")
        if (host in names or is_anywhere) and origin in (None, f"http://{host}"):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "This page is for this machine alone.")
        return False

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"error": reason}))

    def _send(self, status: HTTPStatus, kind: str, content: str) -> None:
        body = content.encode()
        self.send_response(status)
        self._headers(kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self, kind: str) -> None:
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
