"""``charlm serve``: a page on which trained models write as one watches."""

import sys
from pathlib import Path

from charlm.checkpoint import load, newest
from charlm.errors import UserError
from charlm.inspection.live import Model
from charlm.inspection.server import Server, in_url

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(
    checkpoint: list[str],
    port: int = 8000,
    host: str = "127.0.0.1",
    device: str = "cpu",
) -> None:
    """Show on a page how trained models continue a prefix: probabilities, choices, units.

    Several checkpoints stand side by side: give those of a run's epochs to see it learn. Ctrl-C
    ends it.

    Args:
        checkpoint: a file that charlm fit wrote, or a folder that charlm export wrote; may be
            given several times; none: the newest under lightning_logs.
        port: of the page, http://127.0.0.1:PORT; 0 takes a free one.
        host: the address to listen on; with any but this machine's own, everybody who reaches it
            can use the page.
        device: where the models run, such as cpu or cuda.
    """
    paths = [Path(path) for path in checkpoint] or [newest(Path())]
    models = [Model(str(path), load(path, device)) for path in paths]
    if host not in LOCAL:
        print(
            f"charlm: everybody who can reach {host} can use this page: there is no password.",
            file=sys.stderr,
        )
    try:
        server = Server((host, port), models)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"Can't listen on {in_url(host)}:{port} ({reason}): give another --port or --host."
        ) from error
    with server:
        try:
            print(f"http://{in_url(host)}:{server.server_address[1]}  (Ctrl-C ends it)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
