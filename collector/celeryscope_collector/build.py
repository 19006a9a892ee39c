"""How the collector is put together: the only place where its parts meet."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from celeryscope.errors import ConfigError
from celeryscope.service.kafka import KafkaSettings
from celeryscope_collector.exporter import KafkaExporter, Sending
from celeryscope_collector.intake import Bounds, Intake
from celeryscope_collector.metrics import Metrics
from celeryscope_collector.pipeline import Pipeline
from celeryscope_collector.prepare import prepared, sections_of
from celeryscope_collector.processors import ForTenant
from celeryscope_collector.processors_file.reading import read_processors
from celeryscope_collector.rates import Rates
from celeryscope_collector.receiver import Receiver
from celeryscope_collector.records import METRICS, SIGNALS, Signal
from celeryscope_collector.settings import CollectorSettings
from celeryscope_collector.tenant_limits import TenantLimits
from celeryscope_collector.tokens import Anonymous, TokenFile
from celeryscope_collector.watched import Current, Fixed, WatchedFile

if TYPE_CHECKING:
    from celeryscope_collector.grpc_receiver import GrpcReceiver


@dataclass(frozen=True)
class Collector:
    """The parts that a service runs."""

    tenants: TokenFile | Anonymous
    exporter: KafkaExporter
    receiver: Receiver
    grpc: "GrpcReceiver | None"
    metrics: Metrics
    processors: Current[dict[str, ForTenant]]

    def reload(self) -> None:
        """Read the tokens file and the processors file again."""
        self.tenants.reload()
        self.processors.reload()


def build(settings: CollectorSettings, kafka: KafkaSettings, shared: Path | None = None) -> Collector:
    """All parts, not started. ``shared`` is the folder of what several processes of one collector share.

    Raises ConfigError when nobody could send, or the tokens file or the processors file can't be used.
    """
    metrics = Metrics()
    tenants = who_may_send(settings)
    processors = processors_of(settings)
    compression = None if settings.kafka_compression == "none" else settings.kafka_compression
    sending = Sending(settings.kafka_timeout, settings.max_bytes_in_flight, compression, settings.kafka_linger_ms)
    signals = signals_of(settings)
    exporter = KafkaExporter(kafka.client_options(), sending, metrics, signals)
    pipeline = Pipeline(
        processors,
        settings.max_decompressed_bytes,
        settings.max_message_bytes,
        keep_protobuf=settings.kafka_encoding == "as_received",
    )
    bounds = Bounds(settings.max_request_bytes, settings.max_bytes_in_flight, settings.request_timeout)
    intake = Intake(tenants, pipeline, exporter, Rates(time.monotonic, shared), metrics, bounds)
    return Collector(
        tenants, exporter, Receiver(intake, metrics, signals), _grpc(settings, intake, signals), metrics, processors
    )


def signals_of(settings: CollectorSettings) -> Sequence[Signal]:
    """Those that are taken; the topic of each has to be there."""
    return (*SIGNALS, METRICS) if settings.metrics else SIGNALS


def _grpc(settings: CollectorSettings, intake: Intake, signals: Sequence[Signal]) -> "GrpcReceiver | None":
    if not settings.grpc:
        return None
    # Fifteen megabytes, which a collector without gRPC does not spend.
    from celeryscope_collector.grpc_receiver import GrpcReceiver

    return GrpcReceiver(intake, signals)


def processors_of(settings: CollectorSettings) -> Current[dict[str, ForTenant]]:
    """The processors of the file, or those of the settings. Raises ConfigError when the file can't be used."""
    if settings.processors_file is None:
        return Fixed(prepared(sections_of(settings)))
    return WatchedFile(settings.processors_file, lambda file: prepared(read_processors(file)))


def who_may_send(settings: CollectorSettings) -> TokenFile | Anonymous:
    """The tokens, or everybody when the settings say so. Raises ConfigError when that leaves nobody."""
    limits = TenantLimits(settings.tenant_records_per_second, settings.tenant_bytes_per_second)
    if settings.allow_anonymous:
        return Anonymous(limits)
    if settings.tokens_file is None:
        raise ConfigError(
            "nobody could send: make a token with `celeryscope collector token new` and name its file in "
            "CELERYSCOPE_COLLECTOR_TOKENS_FILE (or, on one machine only, set "
            "CELERYSCOPE_COLLECTOR_ALLOW_ANONYMOUS=true)"
        )
    tokens = TokenFile(settings.tokens_file, limits)
    if not tokens.tenants:
        raise ConfigError(
            f"nobody could send: {settings.tokens_file} has no token; make one with `celeryscope collector token new`"
        )
    return tokens
