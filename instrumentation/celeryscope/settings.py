"""The worker's settings: one frozen dataclass, read from the environment once.

A plain dataclass, not pydantic: this is imported by every worker and publisher.
"""

import dataclasses
import os
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, get_type_hints

from celeryscope.errors import ConfigError

PREFIX = "CELERYSCOPE_"
_SERVICES = ("COLLECTOR", "INDEXER", "ELASTICSEARCH", "KAFKA", "KIBANA", "WATCH", "PIPELINE", "RETENTION", "SECRETS")
SERVICE_PREFIXES = tuple(f"{PREFIX}{service}_" for service in _SERVICES)
"""Other processes' settings; they may stand in the same environment."""

_LIST = tuple[str, ...]
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_COMPRESSIONS = ("auto", "gzip", "none")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def default_spool_dir() -> Path:
    """``/var/tmp/celeryscope-<uid>``: survives a reboot, needs no set-up, private to the user."""
    base = Path("/var/tmp")  # noqa: S108 - made with mode 0700 and checked for its owner
    return (base if base.is_dir() else Path(tempfile.gettempdir())) / f"celeryscope-{os.getuid()}"


def _help(text: str, **kwargs: Any) -> Any:
    return field(metadata={"help": text}, **kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the instrumentation (``CELERYSCOPE_*``), also keyword arguments of ``celeryscope.instrument``."""

    enabled: bool = _help("Off: `instrument()` does nothing.", default=True)
    endpoint: str = _help("The collector's base URL.", default="http://127.0.0.1:4318")
    token: str = _help("Token that the collector knows us by. Secret.", default="", repr=False)
    token_file: Path | None = _help("File that holds the token, where `TOKEN` doesn't.", default=None)
    ca_file: Path | None = _help("CA certificates (PEM) that sign the collector's certificate.", default=None)
    client_cert_file: Path | None = _help("Client certificate (PEM), when the collector asks for one.", default=None)
    client_key_file: Path | None = _help("Key of the client certificate (PEM).", default=None)
    service_name: str = _help(
        "`service.name` of all records; else `OTEL_SERVICE_NAME`, else the app's name.", default=""
    )
    environment: str = _help("`deployment.environment.name` of all records.", default="")
    spool_dir: Path = _help("Folder of the spool, private to the user.", default_factory=default_spool_dir)
    spool_max_bytes: int = _help("Quota of the spool for each process family.", default=512 * 1024 * 1024)
    segment_max_bytes: int = _help("Size at which a spool segment is closed and the next begun.", default=1024 * 1024)
    memory_queue_max_bytes: int = _help(
        "What each process keeps in memory while its spool can't be written to.", default=4 * 1024 * 1024
    )
    ship: bool = _help("Off: this process only writes its spool; `celeryscope agent` ships it.", default=True)
    ship_interval: float = _help("Seconds between two looks of the shipper at the spool.", default=1.0)
    request_max_bytes: int = _help("Size of a request to the collector before compression.", default=1024 * 1024)
    compression: str = _help(
        "`gzip`, `none`, or `auto`: gzip unless the collector is on the same host.", default="auto"
    )
    request_timeout: float = _help("Seconds to wait for the collector's answer.", default=10.0)
    flush_timeout: float = _help("Seconds that a process waits at its end for the collector.", default=5.0)
    heartbeat_interval: float = _help("Seconds between two heartbeats of a worker.", default=15.0)
    queue_depth_interval: float = _help(
        "Seconds between two looks at the depth of a queue; one of its workers looks. 0: none does.", default=30.0
    )
    stack_after: float = _help(
        "Seconds that a task runs before its stack is sent, then at growing distances; 0: never.", default=60.0
    )
    stack_signal: int = _help(
        "Number of the real-time signal that makes a pool process write its stacks; 0: the first free one.", default=0
    )
    logs: bool = _help("Send log lines (standard library and structlog).", default=True)
    log_level: str = _help("Lowest level of log lines to send.", default="INFO")
    log_levels: tuple[str, ...] = _help(
        "Lowest level for single loggers and those below them, as `celery=WARNING,shop.noisy=ERROR`; the longest name "
        "counts.",
        default=(),
    )
    log_exclude: tuple[str, ...] = _help(
        "Loggers that are never sent, with those below them; by default those with a line for each web request.",
        default=("uvicorn.access", "gunicorn.access", "django.server"),
    )
    log_rate_limit: float = _help(
        "Lines a second of each logger (its errors: ten times that), ten times as many at once; what is more is "
        "counted, not sent. 0: no limit.",
        default=100.0,
    )
    spans: bool = _help("Send spans.", default=True)
    capture_args: bool = _help("Send the bounded `repr` of tasks' arguments.", default=True)
    args_max_bytes: int = _help(
        "Longest `repr` of a task's arguments, positional and by keyword each; the middle of a longer one is cut out.",
        default=4096,
    )
    capture_locals: bool = _help(
        "Send the variables of the application's own frames with a failure, redacted and bounded.", default=False
    )
    redact: bool = _help(
        "Redact values of telling names. Passwords in URLs and private keys are redacted even when this is off.",
        default=True,
    )
    redact_names: tuple[str, ...] = _help(
        "More names whose values are secret, comma-separated; also as part of a name; case, `-`, `_` do not matter.",
        default=(),
    )
    text_max_bytes: int = _help(
        "Longest traceback, message or log line; the middle of a longer one is cut out.", default=256 * 1024
    )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Read ``CELERYSCOPE_*``; ``overrides`` win. Raises ConfigError, a line for each wrong or unknown name."""
        environ = os.environ if environ is None else environ
        known, types = {f.name for f in dataclasses.fields(cls)}, get_type_hints(cls)
        values: dict[str, Any] = {}
        overrides = {
            # A list may be given as in the environment: as a sequence its text would be one of letters.
            name: _convert(types[name], value) if isinstance(value, str) and types.get(name) == _LIST else value
            for name, value in overrides.items()
        }
        problems = [f"{name}: instrument() has no such setting" for name in sorted(set(overrides) - known)]
        for variable in sorted(environ):
            if not variable.startswith(PREFIX) or variable.startswith(SERVICE_PREFIXES):
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in known:
                problems.append(f"{variable}: no such setting; the settings reference lists them")
            elif environ[variable] != "" and name not in overrides:
                try:
                    values[name] = _convert(types[name], environ[variable])
                except ValueError as error:
                    problems.append(f"{variable}: {error}")
        if problems:
            raise ConfigError("\n".join(problems))
        values |= overrides
        if values.get("token_file") and not values.get("token"):
            values["token"] = _content(values["token_file"])
        return cls(**values)._checked()

    def _checked(self) -> Self:
        problems = [
            f"{PREFIX}{name.upper()}: must be above zero"
            for name in (
                "spool_max_bytes",
                "segment_max_bytes",
                "memory_queue_max_bytes",
                "ship_interval",
                "request_max_bytes",
                "request_timeout",
                "heartbeat_interval",
                "args_max_bytes",
                "text_max_bytes",
            )
            if getattr(self, name) <= 0
        ]
        if self.queue_depth_interval < 0:
            problems.append(f"{PREFIX}QUEUE_DEPTH_INTERVAL: must not be below zero")
        if not 0 <= self.stack_after < float("inf"):
            problems.append(f"{PREFIX}STACK_AFTER: must be zero or above")
        if self.stack_signal and not signal.SIGRTMIN <= self.stack_signal <= signal.SIGRTMAX:
            problems.append(f"{PREFIX}STACK_SIGNAL: must be 0 or {signal.SIGRTMIN:d} to {signal.SIGRTMAX:d}")
        if not self.endpoint.startswith(("http://", "https://")):
            problems.append(f"{PREFIX}ENDPOINT: must begin with http:// or https://")
        if not (self.token.isascii() and self.token.isprintable()):
            problems.append(f"{PREFIX}TOKEN: must be printable ASCII, without a line's end")
        problems += [
            f"{PREFIX}{name.upper()}: there is no such file"
            for name in ("ca_file", "client_cert_file", "client_key_file")
            if (path := getattr(self, name)) and not Path(path).is_file()
        ]
        if self.compression not in _COMPRESSIONS:
            problems.append(f"{PREFIX}COMPRESSION: must be one of {', '.join(_COMPRESSIONS)}")
        problems += self._problems_of_logs()
        if problems:
            raise ConfigError("\n".join(problems))
        return self

    def _problems_of_logs(self) -> Iterator[str]:
        if self.log_level.upper() not in LEVELS:
            yield f"{PREFIX}LOG_LEVEL: must be one of {', '.join(LEVELS)}"
        for item in self.log_levels:
            name, _, level = item.partition("=")
            if not name.strip() or level.strip().upper() not in LEVELS:
                yield f"{PREFIX}LOG_LEVELS: {item!r} must be <logger>=<level>"
        if not self.log_rate_limit >= 0:
            yield f"{PREFIX}LOG_RATE_LIMIT: must be zero or above"


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PREFIX}TOKEN_FILE: {path} can't be read ({type(error).__name__})") from None


def _convert(kind: Any, text: str) -> Any:
    if kind is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return text.lower() in _TRUE
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}") from None
    if kind == _LIST:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    # A secret from a file often brings its line's end along.
    return text.strip() if kind is str else Path(text)
