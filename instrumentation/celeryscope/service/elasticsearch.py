"""The connection to Elasticsearch: its settings, the client, and the one table from its errors to ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from elasticsearch.serializer import NdjsonSerializer
from pydantic import Field, FilePath, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from celeryscope.errors import CeleryscopeError, NotFound, Rejected, TooSlow, Unauthorized, Unavailable, WrongVersion
from celeryscope.service.credentials import Credentials

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""What a server answers when the same request may succeed later."""
MENDABLE_STATUSES = RETRYABLE_STATUSES | {401, 403}
"""The same of a single item of a bulk request, where a person mends a block on the index or a missing privilege."""
_PORTS = {"http": 9200, "https": 443}


class ElasticsearchSettings(Credentials):
    """The connection to Elasticsearch (``CELERYSCOPE_ELASTICSEARCH_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_ELASTICSEARCH_")

    url: str = Field("http://127.0.0.1:9200", description="Nodes to use, `http(s)://host:port`, comma-separated.")
    api_key: SecretStr | None = Field(None, description="API key, as Elasticsearch shows it (`encoded`).")
    username: str | None = Field(None, description="User name, when there is no API key.")
    password: SecretStr | None = Field(None, description="Password of the user.")
    ca_file: FilePath | None = Field(None, description="CA certificates (PEM) that sign the nodes' certificates.")
    verify_certs: bool = Field(True, description="Whether the nodes' certificates are checked; only tests say no.")
    timeout: float = Field(30.0, gt=0, description="Seconds until a request is given up.")

    @field_validator("url")
    @classmethod
    def _complete(cls, url: str) -> str:
        return ",".join(_address(part.strip()) for part in url.split(","))

    @property
    def urls(self) -> list[str]:
        """The nodes' addresses, one by one."""
        return [part.strip() for part in self.url.split(",")]


def _address(url: str) -> str:
    """The address with its port; the value itself is in no message, it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("each address must be http(s)://host:port") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("each address must start with http:// or https:// and name a host")
    return url if port else f"{parts.scheme}://{parts.netloc.removesuffix(':')}:{_PORTS[parts.scheme]}{parts.path}"


def connect(settings: ElasticsearchSettings) -> Elasticsearch:
    """A client for the settings; nothing is sent yet. The client itself never retries: its users know better."""
    options: dict[str, Any] = {}
    if settings.api_key:
        options["api_key"] = settings.api_key.get_secret_value()
    elif settings.username and settings.password:
        options["basic_auth"] = (settings.username, settings.password.get_secret_value())
    if any(url.startswith("https://") for url in settings.urls):
        options["verify_certs"] = settings.verify_certs
        options["ssl_show_warn"] = settings.verify_certs
        if settings.ca_file:
            options["ca_certs"] = str(settings.ca_file)
    return Elasticsearch(
        settings.urls,
        request_timeout=settings.timeout,
        max_retries=0,
        retry_on_timeout=False,
        serializers={_Lines.mimetype: _Lines()},
        **options,
    )


class _Lines(NdjsonSerializer):
    """Sends bytes as they are, where the client's own serializer would copy them line by line."""

    def dumps(self, data: Any) -> bytes:
        return data if isinstance(data, bytes) else super().dumps(data)


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn every error of the client into one of celeryscope.errors; as a context manager or a decorator.

    Unreachable, overloaded: Unavailable. No answer in time: TooSlow, one kind of that. 401, 403, a certificate nobody
    vouches for: Unauthorized. Another product or major version: WrongVersion. A missing index or document: NotFound.
    Anything else: Rejected.
    """
    try:
        yield
    except (ApiError, TransportError, UnsupportedProductError) as error:
        raise translate(error) from error


def translate(error: Exception) -> CeleryscopeError:
    """The error of ours that says what to do about an error of the client."""
    if isinstance(error, UnsupportedProductError):
        return WrongVersion("The server is not an Elasticsearch 8.19 or later. Check CELERYSCOPE_ELASTICSEARCH_URL.")
    if isinstance(error, ApiError):
        return _of_answer(error)
    if isinstance(error, TlsError):
        return Unauthorized(
            f"The TLS connection to Elasticsearch failed ({_brief(error)}). "
            "Set CELERYSCOPE_ELASTICSEARCH_CA_FILE to the CA that signed its certificate."
        )
    if isinstance(error, SerializationError):
        return WrongVersion("What answers is not an Elasticsearch. Check CELERYSCOPE_ELASTICSEARCH_URL.")
    if isinstance(error, ConnectionTimeout):
        return TooSlow(
            "Elasticsearch does not answer in time. Try again later or raise CELERYSCOPE_ELASTICSEARCH_TIMEOUT."
        )
    return Unavailable(
        f"Elasticsearch is unreachable ({_brief(error)}). Is it running, and is CELERYSCOPE_ELASTICSEARCH_URL right?"
    )


def _of_answer(error: ApiError) -> CeleryscopeError:
    status = error.meta.status
    if status in {401, 403}:
        return Unauthorized(
            f"Elasticsearch refused the credentials or the privilege ({_brief(error)}). "
            "Check CELERYSCOPE_ELASTICSEARCH_API_KEY, or the user name and password."
        )
    if status == 404:
        return NotFound(f"Elasticsearch has no such index or document ({_brief(error)}). Run `celeryscope setup`.")
    if status in RETRYABLE_STATUSES:
        return Unavailable(f"Elasticsearch is overloaded or not ready ({_brief(error)}). Try again later.")
    if "media_type_header_exception" in str(error.body):
        return WrongVersion(
            "This Elasticsearch does not speak the client's version. "
            "Install the `elasticsearch` package of the server's major version."
        )
    return Rejected(f"elasticsearch_{status}", f"Elasticsearch refused the request ({_brief(error)}).")


def _brief(error: Exception) -> str:
    if isinstance(error, ApiError) and isinstance(error.body, dict):
        cause = error.body.get("error")
        reason = cause.get("reason") if isinstance(cause, dict) else cause
        return f"{error.meta.status}: {str(reason)[:300]}"
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
