"""Settings of the indexer and of every command that talks to Elasticsearch."""

import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from celeryscope.service.settings import ServiceSettings
from celeryscope_pipelines.durations import seconds


class ElasticsearchSettings(ServiceSettings):
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

    @field_validator("api_key", "password")
    @classmethod
    def _fits_a_header(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and not secret.get_secret_value().isascii():
            raise ValueError("must be plain ASCII")
        return secret

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password are given together")
        return self

    @property
    def urls(self) -> list[str]:
        """The nodes' addresses, one by one."""
        return [part.strip() for part in self.url.split(",")]


class RetentionSettings(ServiceSettings):
    """How long `celeryscope retention` lets data be (``CELERYSCOPE_RETENTION_*``); unset leaves it as it is."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_RETENTION_")

    spans: str | None = Field(None, description="Spans: `12h`, `30d`, `8w` or `forever`.")
    logs: str | None = Field(None, description="Log lines, failures and vitals, likewise.")
    tasks: str | None = Field(None, description="Attempts, after the day they were sent.")
    failures: str | None = Field(None, description="Failure clusters, after they were seen last.")
    entities: str | None = Field(None, description="Workers, queues and schedules, after they were seen last.")

    @field_validator("*")
    @classmethod
    def _is_a_duration(cls, text: str | None) -> str | None:
        if text is not None:
            seconds(text)
        return text

    @property
    def keep(self) -> dict[str, int]:
        """Seconds by name, of those that are set; 0 is for ever."""
        return {name: seconds(text) for name, text in self.model_dump().items() if text is not None}


class PipelineSettings(ServiceSettings):
    """Whom `celeryscope status` and `celeryscope account` ask (``CELERYSCOPE_PIPELINE_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_PIPELINE_")

    collectors: str = Field(
        "http://127.0.0.1:4318",
        description="Collectors whose /metrics are read, `http(s)://host:port`, comma-separated.",
    )
    indexers: str = Field("http://127.0.0.1:9465", description="Indexers to read /metrics of, likewise.")

    @field_validator("collectors", "indexers")
    @classmethod
    def _without_secrets(cls, urls: str) -> str:
        # They are shown as they are. A user in them would not even be sent.
        if not all(_PROCESS.fullmatch(url) for url in _each(urls)):
            raise ValueError("each address must be http(s)://host:port, without a user")
        return urls

    @property
    def collector_urls(self) -> tuple[str, ...]:
        """One by one."""
        return _each(self.collectors)

    @property
    def indexer_urls(self) -> tuple[str, ...]:
        """One by one."""
        return _each(self.indexers)


class IndexerSettings(ServiceSettings):
    """The indexer's own settings (``CELERYSCOPE_INDEXER_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_INDEXER_")

    group_id: str = Field(
        "celeryscope-indexer", description="Kafka consumer group; all indexers of a cluster share it."
    )
    workers: int = Field(4, ge=1, le=32, description="Threads, each with a bulk request of its own on the way.")
    batch_bytes: int = Field(
        2 * 1024 * 1024, ge=1024, description="Bytes of Kafka messages that become one bulk request, about."
    )
    batch_messages: int = Field(500, ge=1, description="Kafka messages that become one bulk request, at most.")
    in_flight_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of messages that are read but not yet committed; above it reading pauses.",
    )
    retry_max_delay: float = Field(
        30.0, gt=0, description="Longest pause, in seconds, between tries of a bulk request."
    )
    dead_letter_limit: int = Field(
        100, ge=1, description="Dead letters within `dead_letter_window` that stop the indexer: something is broken."
    )
    dead_letter_window: float = Field(60.0, gt=0, description="Seconds over which dead letters are counted.")
    failure_interval: float = Field(
        5.0, ge=0, description="Seconds between two writes of the same failure cluster's first and last seen."
    )
    max_poll_interval: float = Field(
        300.0, ge=1, description="Seconds without a poll after which Kafka gives the partitions to another indexer."
    )
    session_timeout: float = Field(
        10.0, ge=1, description="Seconds without a heartbeat after which Kafka takes an indexer for dead."
    )
    stop_timeout: float = Field(20.0, gt=0, description="Seconds that a graceful stop waits for batches in flight.")
    http_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz.")
    http_port: int = Field(
        9465, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0 takes a free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto is console on a terminal.")


def _each(urls: str) -> tuple[str, ...]:
    return tuple(url.strip() for url in urls.split(",") if url.strip())


_PROCESS = re.compile(r"https?://[^\s/@]+(/[^\s@]*)?")
_PORTS = {"http": 9200, "https": 443}


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
