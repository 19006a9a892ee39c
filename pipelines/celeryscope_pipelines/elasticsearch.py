"""The client of Elasticsearch, and the one table from its errors to ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from elasticsearch.serializer import NdjsonSerializer

from celeryscope.errors import CeleryscopeError, NotFound, Rejected, Unauthorized, Unavailable, WrongVersion
from celeryscope_pipelines.settings import ElasticsearchSettings

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
"""What a server answers when the same request may succeed later."""
MENDABLE_STATUSES = RETRYABLE_STATUSES | {401, 403}
"""The same of a single item of a bulk request, where a person mends a block on the index or a missing privilege."""


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

    Unreachable, too slow, overloaded: Unavailable. 401, 403, a certificate nobody vouches for: Unauthorized. Another
    product or major version: WrongVersion. A missing index or document: NotFound. Anything else: Rejected.
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
        return Unavailable(
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
