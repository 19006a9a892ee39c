"""The collector's settings."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from celeryscope.service.settings import ServiceSettings

ProcessorName = Literal["identity", "redaction", "limits"]
_MIB = 1024 * 1024
_IN_THE_FILE = frozenset(
    {
        "processors",
        "redaction_terms",
        "redaction_keep",
        "max_attributes",
        "max_value_bytes",
        "max_stacktrace_bytes",
        "max_body_bytes",
    }
)
"""What a processors file says, too; one of the two places has to be chosen."""


class CollectorSettings(ServiceSettings):
    """How the collector listens, whom it believes, and what it lets through (``CELERYSCOPE_COLLECTOR_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_COLLECTOR_")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(4318, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    grpc: bool = Field(True, description="Take OTLP/gRPC too, on a port of its own.")
    grpc_port: int | None = Field(
        None, ge=0, le=65535, description="Port of OTLP/gRPC; 4317 when unset, or a free one when `port` is 0."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Processes that take requests, each on one core; what is in flight is for each."
    )
    tokens_file: Path | None = Field(None, description="YAML file with the hashes of the tokens that may send.")
    allow_anonymous: bool = Field(
        False, description="Accept requests without a token, as tenant `default`; for one machine only."
    )
    ssl_certificate: Path | None = Field(None, description="Certificate chain (PEM) of the listener; switches TLS on.")
    ssl_key: Path | None = Field(None, description="Private key (PEM) of the certificate.")
    ssl_client_ca: Path | None = Field(None, description="CA (PEM) that clients' certificates must be signed by.")
    processors_file: Path | None = Field(
        None,
        description="YAML file with the processors, in their order, and all their parameters (docs/processors.md).",
    )
    processors: Annotated[tuple[ProcessorName, ...], NoDecode] = Field(
        ("identity", "redaction", "limits"), description="Processors in their order, comma-separated."
    )
    redaction_terms: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More parts of attribute names whose values are secret, comma-separated."
    )
    redaction_keep: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Exact attribute names that are never redacted, comma-separated."
    )
    max_attributes: int = Field(256, ge=32, description="Attributes of one record; more are dropped.")
    max_value_bytes: int = Field(64 * 1024, ge=256, description="Bytes of one attribute's value; longer ones are cut.")
    max_stacktrace_bytes: int = Field(512 * 1024, ge=1024, description="Bytes of `exception.stacktrace`.")
    max_body_bytes: int = Field(64 * 1024, ge=256, description="Bytes of a log record's body.")
    max_request_bytes: int = Field(8 * _MIB, ge=1024, description="Bytes of a request as received.")
    max_decompressed_bytes: int = Field(32 * _MIB, ge=1024, description="Bytes of a request once decompressed.")
    metrics: bool = Field(
        False,
        description="Pass OTLP metrics through to the topic `celeryscope.metrics` (`celeryscope setup --metrics`).",
    )
    kafka_encoding: Literal["as_received", "json"] = Field(
        "as_received",
        description="`as_received` leaves records in protobuf so; `json` is for other consumers that read JSON only.",
    )
    max_message_bytes: int = Field(
        900_000, ge=10_000, description="Bytes of one Kafka message; keep it below the topics' `max.message.bytes`."
    )
    tenant_records_per_second: float | None = Field(
        None, gt=0, description="Records a second of one tenant, on average; the tokens file can name others."
    )
    tenant_bytes_per_second: float | None = Field(
        None, gt=0, description="Bytes (as received) a second of one tenant, on average; also in the tokens file."
    )
    max_connections: int = Field(2000, ge=1, description="Connections at once, of HTTP and again of gRPC.")
    max_bytes_in_flight: int = Field(
        128 * _MIB, ge=_MIB, description="Bytes of requests, and of unacknowledged messages, at once; above it: 503."
    )
    request_timeout: float = Field(30.0, gt=0, description="Seconds a sender may take for the body of one request.")
    header_timeout: float = Field(10.0, gt=0, description="Seconds a sender may take for the head of a request.")
    kafka_timeout: float = Field(10.0, ge=1, description="Seconds Kafka may take to acknowledge; then 503.")
    kafka_compression: Literal["zstd", "lz4", "gzip", "none"] = Field("zstd", description="Compression in Kafka.")
    kafka_linger_ms: int = Field(
        5, ge=0, le=500, description="Milliseconds a message waits for others of its partition, also of other requests."
    )
    drain_timeout: float = Field(30.0, gt=0, description="Seconds that requests under way may take after SIGTERM.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity of our logs.")
    log_format: Literal["auto", "json", "console"] = Field("auto", description="`auto` is console on a terminal.")

    @field_validator("processors", "redaction_terms", "redaction_keep", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place_for_processors(self) -> Self:
        twice = sorted(self.model_fields_set & _IN_THE_FILE) if self.processors_file is not None else []
        if twice:
            raise ValueError(f"with a processors_file say it there and unset {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "identity" not in self.processors:
            raise ValueError("processors must contain identity: without it a sender could claim any tenant")
        order = [name for name in self.processors if name in {"redaction", "limits"}]
        if order == ["limits", "redaction"]:
            raise ValueError("redaction must stand before limits: half a secret is not recognised any more")
        if (self.ssl_certificate is None) != (self.ssl_key is None):
            raise ValueError("ssl_certificate and ssl_key belong together: set both or neither")
        if self.ssl_client_ca is not None and self.ssl_certificate is None:
            raise ValueError("ssl_client_ca needs ssl_certificate and ssl_key")
        if self.max_bytes_in_flight < self.max_request_bytes:
            raise ValueError("max_bytes_in_flight must be at least max_request_bytes, or such a request never passes")
        if self.tokens_file is not None and self.allow_anonymous:
            raise ValueError("tokens_file and allow_anonymous contradict each other: unset one")
        return self
