"""What an address on the network sends, or why it can't be had."""

import http.client
import time
import urllib.error
import urllib.request

from tqdm import tqdm

# A server that sends nothing for this long has hung; one that is slower overall is given up on.
STALL_SECONDS = 30.0
DOWNLOAD_SECONDS = 600.0
# No corpus comes near it: what is longer is something else, and need not be read to its end.
MAX_DOWNLOAD_BYTES = 64 * 2**20
READ_BYTES = 2**16


class DownloadError(Exception):
    """The reason, in a few words, why an address doesn't send what it should."""


def download(url: str, name: str) -> bytes:
    """What ``url`` sends, held in memory: nothing unverified touches the disk.

    Shows the progress on standard error, under ``name``.

    Raises:
        DownloadError: the address can't be reached, refuses, hangs, breaks off, or sends more
            than ``MAX_DOWNLOAD_BYTES``.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "charlm"})
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:
            announced = response.headers.get("Content-Length", "")
            total = int(announced) if announced.isdecimal() else None
            with tqdm(total=total, unit="B", unit_scale=True, desc=f"Downloading {name}") as bar:
                while chunk := response.read1(READ_BYTES):
                    content += chunk
                    bar.update(len(chunk))
                    if time.monotonic() > deadline:
                        raise DownloadError(f"not finished after {DOWNLOAD_SECONDS:g} s")
                    if len(content) > MAX_DOWNLOAD_BYTES:
                        raise DownloadError(f"more than {MAX_DOWNLOAD_BYTES:,} bytes came")
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(_reason(error)) from error
    if total is not None and len(content) < total:
        raise DownloadError(f"cut off after {len(content):,} of {total:,} bytes")
    return bytes(content)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {STALL_SECONDS:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__
