"""An OpenTelemetry Collector (Go) beside ours: the same requests into the same Kafka, without processors.

Its binary is not downloaded; docs/benchmarks.md says how to build one. Records go through its receiver and its Kafka
exporter, which waits for the acknowledgement of all replicas before the request is answered.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Self

import urllib3

from celeryscope import semconv
from servers.process import free_port
from support.waiting import until


class GoCollector:
    """The process, from its start to its end with SIGTERM; the part of ``Collector`` that is measured."""

    def __init__(self, binary: str, kafka: str, folder: Path) -> None:
        self.folder = folder
        self._binary = binary
        self._port = free_port()
        # JSON is YAML, too.
        producer = {"compression": "zstd", "required_acks": -1, "max_message_bytes": 900_000}
        exporter = {
            "brokers": [kafka],
            "logs": {"topic": semconv.TOPIC_LOGS, "encoding": "otlp_proto"},
            "traces": {"topic": semconv.TOPIC_TRACES, "encoding": "otlp_proto"},
            "producer": producer,
            "sending_queue": {"enabled": False},
        }
        pipeline = {"receivers": ["otlp"], "exporters": ["kafka"]}
        config = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self._port}"}}}},
            "exporters": {"kafka": exporter},
            "service": {
                "pipelines": {"logs": pipeline, "traces": pipeline},
                "telemetry": {"metrics": {"level": "none"}},
            },
        }
        (folder / "config.yaml").write_text(json.dumps(config))

    def __enter__(self) -> Self:
        with (self.folder / "collector.log").open("w") as log:
            command = [self._binary, "--config", str(self.folder / "config.yaml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.http = urllib3.PoolManager(retries=False, timeout=30, maxsize=8)
        until(self._is_ready, what="the peer listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.http.clear()
        self.process.terminate()
        self.process.wait(30)

    def post(self, path: str, body: bytes, media_type: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """As to our collector."""
        given = {"Content-Type": media_type} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request("POST", f"http://127.0.0.1:{self._port}{path}", body=body, headers=given)

    def _is_ready(self) -> bool:
        log = (self.folder / "collector.log").read_text()
        return re.search("Everything is ready", log) is not None
