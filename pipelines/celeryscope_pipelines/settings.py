"""Settings of the indexer, of retention, and of the commands that ask the pipeline's processes."""

import re
import ssl
from typing import Literal

from pydantic import Field, FilePath, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from celeryscope.errors import ConfigError
from celeryscope.service.kibana_views import SPACE_PATTERN
from celeryscope.service.settings import ServiceSettings
from celeryscope_pipelines.addresses import EACH
from celeryscope_pipelines.durations import seconds


class RetentionSettings(ServiceSettings):
    """How long `celeryscope retention` lets data be (``CELERYSCOPE_RETENTION_*``); unset leaves it as it is."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_RETENTION_")

    spans: str | None = Field(None, description="Spans: `12h`, `30d`, `8w` or `forever`.")
    logs: str | None = Field(None, description="Log lines, failures and vitals, likewise.")
    tasks: str | None = Field(None, description="Attempts, after the day they were sent.")
    failures: str | None = Field(None, description="Failure clusters, after they were seen last.")
    entities: str | None = Field(None, description="Workers, queues and schedules, after they were seen last.")
    alerts: str | None = Field(None, description="The history of alerts.")

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
    """Whom `celeryscope status`, `celeryscope account` and the watcher ask (``CELERYSCOPE_PIPELINE_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_PIPELINE_")

    collectors: str = Field(
        "http://127.0.0.1:4318",
        description="Collectors whose /metrics are read, `http(s)://host:port`, comma-separated; "
        "`dns+http(s)://name:port` is each process that the name has an address of.",
    )
    indexers: str = Field("http://127.0.0.1:9465", description="Indexers to read /metrics of, likewise.")
    ca_file: FilePath | None = Field(None, description="CA certificates (PEM) that sign the certificates of these.")
    client_cert_file: FilePath | None = Field(None, description="Client certificate (PEM), when they ask for one.")
    client_key_file: FilePath | None = Field(None, description="Key of the client certificate (PEM).")

    @field_validator("collectors", "indexers")
    @classmethod
    def _without_secrets(cls, urls: str) -> str:
        # They are shown as they are. A user in them would not even be sent.
        if not all(_PROCESS.fullmatch(url.removeprefix(EACH)) for url in _each(urls)):
            raise ValueError("each address must be http(s)://host:port, without a user")
        return urls

    @property
    def named(self) -> "PipelineSettings":
        """Without the addresses that nobody has set: nothing may be there."""
        unset = {"collectors", "indexers"} - self.model_fields_set
        return self.model_copy(update=dict.fromkeys(unset, ""))

    def tls(self) -> ssl.SSLContext:
        """How to know them, and be known. Raises ConfigError for files that are no certificates."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.client_cert_file:
                context.load_cert_chain(self.client_cert_file, self.client_key_file)
        except OSError as error:
            files = "CELERYSCOPE_PIPELINE_CA_FILE, _CLIENT_CERT_FILE and _CLIENT_KEY_FILE"
            raise ConfigError(f"{files} can't be used as they are: {error}") from error
        return context

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
    failure_rules_file: FilePath | None = Field(
        None,
        description="YAML file that says which failures are one cluster, and whose code is the application's "
        "(docs/failure-clusters.md).",
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


class WatchSettings(ServiceSettings):
    """The alert watcher's own settings (``CELERYSCOPE_WATCH_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_WATCH_")

    rules: FilePath | None = Field(
        None, description="YAML file with other thresholds, routes and maintenance windows (docs/alerts.md)."
    )
    targets: SecretStr | None = Field(
        None,
        description="Whom to notify: `name=address`, separated by blanks; addresses as Apprise has them, e.g. "
        "`ops=slack://... shop=mailto://...`.",
    )
    name: str = Field("default", description="Watchers of one name share alerts; one of them is active.")
    interval: float = Field(5.0, gt=0, description="Seconds between two looks at which rules are due.")
    renotify: float = Field(
        14_400.0, ge=0, description="Seconds until people are told again of what still lasts; 0: never."
    )
    group_interval: float = Field(
        300.0, ge=0, description="Seconds until people are told that further alerts have joined an incident."
    )
    lease: float = Field(30.0, ge=5, description="Seconds of silence after which another watcher takes over.")
    pipeline: bool = Field(
        False,
        description="Ask Kafka for lag and dead letters, for the rules about them; needs `CELERYSCOPE_KAFKA_*`. Also "
        "the collectors and indexers, if `CELERYSCOPE_PIPELINE_*` names them.",
    )
    kibana_url: str | None = Field(
        None,
        description="Kibana as people's browsers find it, with its base path; messages link to the views there that "
        "`celeryscope kibana install` has made. Without it they name the command that shows more.",
    )
    kibana_space: str = Field(
        "", pattern=SPACE_PATTERN, description="Id of the space that the views are in; empty is the default one."
    )
    http_host: str = Field("127.0.0.1", description="Address of /metrics, /healthz and /readyz.")
    http_port: int = Field(
        9466, ge=0, le=65535, description="Port of /metrics, /healthz and /readyz; 0 takes a free one."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="auto is console on a terminal.")

    @field_validator("kibana_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None and not _PROCESS.fullmatch(url):
            raise ValueError("must be http(s)://host:port, without a user")
        return url.rstrip("/") if url else None

    @field_validator("targets")
    @classmethod
    def _are_named(cls, targets: SecretStr | None) -> SecretStr | None:
        written = targets.get_secret_value().split() if targets else []
        names = [target.partition("=")[0] for target in written]
        if not all(_TARGET.fullmatch(target) for target in written) or len(set(names)) != len(names):
            raise ValueError("must be name=address, separated by blanks, each name once, in lower-case letters")
        return targets

    @property
    def addresses(self) -> dict[str, str]:
        """The targets' addresses by their names."""
        written = self.targets.get_secret_value().split() if self.targets else []
        return {name: address for name, _, address in (target.partition("=") for target in written)}


def _each(urls: str) -> tuple[str, ...]:
    return tuple(url.strip() for url in urls.split(",") if url.strip())


_TARGET = re.compile(r"[a-z0-9][a-z0-9_-]*=\S+://\S*")
_PROCESS = re.compile(r"https?://[^\s/@]+(/[^\s@]*)?")
