"""``charlm serve``'s server: a page on which models write as one watches, on this machine only.

It is the standard library's HTTP server. A request names a checkpoint by its number, and its
prefix is data: it is sent back as JSON and set as text, never as markup. Sizes, lengths and the
time of a request are bounded, and requests that another site's page could send are refused.
"""

import json
import socket
import sys
import threading
import time
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from charlm.errors import UserError
from charlm.inspection.live import Model, Request, about, events
from charlm.pages.common import with_common

MAX_BODY = 64 * 1024  # bytes
MAX_SECONDS = 60.0
MAX_AT_ONCE = 8
MAX_WAIT = 30.0  # seconds, until one of them ends
FOLDER = Path(__file__).parent / "assets"
ASSETS = {"/": ("serve.html", "text/html"), "/serve.js": ("serve.js", "text/javascript")} | {
    "/serve.css": ("serve.css", "text/css")
}
POLICY = (
    "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Server(ThreadingHTTPServer):
    """Serves the page and the models to it.

    Args:
        address: host and port; port 0 takes a free one.
        models: what to serve, at least one.
    """

    daemon_threads = True
    # On Windows it would let a second server take the same port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, address: tuple[str, int], models: Sequence[Model]) -> None:
        self.models = models
        self.vacancies = threading.BoundedSemaphore(MAX_AT_ONCE)
        self.given = address[0]
        self.address_family = socket.AF_INET6 if ":" in self.given else socket.AF_INET
        super().__init__(address, Handler)

    def is_called(self, host: str) -> bool:
        """Whether a request's Host is a name of this server's."""
        bound, port = str(self.server_address[0]), self.server_address[1]
        names = {in_url(name) for name in ("127.0.0.1", "localhost", self.given, bound)}
        # A browser leaves out the port of all pages, 80.
        is_named = host.removesuffix(":80") in {f"{n}:{port}".removesuffix(":80") for n in names}
        return is_named or bound in ("0.0.0.0", "::")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that is gone, or takes too long, is no error; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def in_url(host: str) -> str:
    """A host as it stands in an address: that of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


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
            file = FOLDER / name
            is_page = file.suffix == ".html"
            content = file.read_text(encoding="utf-8") if is_page else with_common(file)
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
        elif not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Send at most {MAX_BODY:,} bytes.")
        else:
            # Before it takes up a place: who sends slowly keeps nobody else waiting.
            content = self.rfile.read(int(length))
            if not self.server.vacancies.acquire(timeout=MAX_WAIT):
                told = "Too many texts are being written at once: try again in a minute."
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, told)
                return
            try:
                self._continue(content)
            finally:
                self.server.vacancies.release()

    def _continue(self, content: bytes) -> None:
        try:
            request = Request.of(json.loads(content), len(self.server.models))
            stream = events(self.server.models, request)
            first = next(stream, None)
        except (UserError, ValueError, OverflowError, RecursionError) as error:
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
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if self.server.is_called(host) and origin in (None, f"http://{host}"):
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
