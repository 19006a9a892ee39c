"""One client of the collector; its errors say what to do with the data."""

import encodings.idna
import json
import logging
import math
import ssl
import zlib
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import urllib3

from celeryscope.__about__ import __version__
from celeryscope.errors import CeleryscopeError, Rejected, Unauthorized, Unavailable
from celeryscope.settings import Settings

logger = logging.getLogger("celeryscope")

_NAMES_OF_HOSTS = encodings.idna
"""Looking a host up imports this at the first time: in the shipper's thread, and a process that is forked meanwhile
would be left with half of the module and unable to look up any host, for ever."""
_REFUSED = {400, 413, 415, 422}
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 1  # the network is rarely the bottleneck, a worker's CPU is


class CollectorClient:
    """Posts OTLP/JSON requests; keeps one connection."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.endpoint.rstrip("/")
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"celeryscope/{__version__}",
        }
        if settings.token:
            self._headers["Authorization"] = f"Bearer {settings.token}"
        self._packs = _packs(settings)
        if self._packs:
            self._headers["Content-Encoding"] = "gzip"
        self._settings = settings
        self._pool: urllib3.PoolManager | None = None

    def post(self, path: str, body: bytes) -> int:
        """Send one request; returns how many of its records the collector refused for ever.

        Raises Rejected (the whole request, never again), Unauthorized, or Unavailable (later).
        """
        if self._packs:
            packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
            body = packer.compress(body) + packer.flush()
        try:
            response = self._connected().request("POST", self._base + path, body=body, headers=self._headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unavailable(f"The collector at {self._base} can't be reached: {error}") from error
        if response.status != 200:
            raise _error(self._base, response.status, response.data, response.headers)
        return _refused(response.data)

    def _connected(self) -> urllib3.PoolManager:
        """Made at the first request: a certificate that can't be read now may be there later. Raises OSError."""
        if self._pool is None:
            timeout = self._settings.request_timeout
            self._pool = urllib3.PoolManager(
                num_pools=1,
                timeout=urllib3.Timeout(connect=min(3.0, timeout), read=timeout),
                retries=False,
                ssl_context=_tls(self._settings),
            )
        return self._pool


def _packs(settings: Settings) -> bool:
    """Whether to compress: what does not leave the host would cost both ends CPU and spare nobody anything."""
    if settings.compression != "auto":
        return settings.compression == "gzip"
    host = urlsplit(settings.endpoint).hostname or ""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if not settings.endpoint.startswith("https://"):
        return None
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if settings.client_cert_file:
        key = str(settings.client_key_file) if settings.client_key_file else None
        context.load_cert_chain(str(settings.client_cert_file), key)
    return context


def _error(base: str, status: int, data: bytes, headers: Mapping[str, str]) -> CeleryscopeError:
    detail = data[:200].decode(errors="replace")
    if status in {401, 403}:
        return Unauthorized(f"The collector at {base} refuses the token (status {status}); check CELERYSCOPE_TOKEN.")
    if status in _REFUSED:
        return Rejected("refused", f"The collector at {base} refused a request (status {status}): {detail}")
    return Unavailable(f"The collector at {base} answered status {status}: {detail}", _seconds(headers))


def _seconds(headers: Mapping[str, str]) -> float | None:
    """``Retry-After``, between half a second and half a minute; None when it is missing or no number."""
    try:
        wanted = float(headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(max(wanted, 0.5), 30.0) if math.isfinite(wanted) else None


def _refused(data: bytes) -> int:
    """Count of refused records in OTLP's partial success."""
    try:
        partial = json.loads(data or b"{}").get("partialSuccess") or {}
        refused = int(partial.get("rejectedLogRecords") or partial.get("rejectedSpans") or 0)
    except (ValueError, AttributeError):
        return 0
    if refused:
        logger.error("celeryscope: the collector refused %d records: %s", refused, partial.get("errorMessage", ""))
    return refused
