"""What processes tell on /metrics: over TLS, behind a name that several have, and whatever else answers there."""

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from celeryscope.errors import Unavailable
from celeryscope_pipelines.addresses import Process, processes_at
from celeryscope_pipelines.exposition import read_exposition
from celeryscope_pipelines.processes import of_collectors, of_indexers
from celeryscope_pipelines.settings import PipelineSettings
from support.certificates import make_certificates
from support.expositions import telling

TLS = ssl.create_default_context()
ACCEPTED = b'celeryscope_collector_records_accepted_total{tenant="a"} 3\n'


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS is a stand-in here, as no name can be made here: two names stand for two loopback addresses."""
    known = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in {"server", "other"}:
            return known(host, port, *args, **kwargs)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_values_that_are_no_numbers_do_not_count() -> None:
    with telling(b'a_total{why="x"} 3\na_total{why="y"} NaN\na_total{why="z"} +Inf\n') as port:
        told = read_exposition(Process(f"http://127.0.0.1:{port}"), TLS)
    assert (told.total("a_total"), told.by("a_total", "why")) == (3, {"x": 3})


@pytest.mark.parametrize("body", [b"<html><body>hi there</body></html>", b'a{b="', b"\xff\xfe"])
def test_what_is_no_exposition_is_named(body: bytes) -> None:
    with telling(body) as port, pytest.raises(Unavailable, match="tells nothing"):
        read_exposition(Process(f"http://127.0.0.1:{port}"), TLS)


@pytest.mark.usefixtures("two_addresses")
def test_a_name_stands_for_each_process_that_has_it() -> None:
    with telling(ACCEPTED) as port, telling(ACCEPTED, "127.0.0.2", port):
        told = of_collectors(PipelineSettings.load(collectors=f"dns+http://server:{port}"))
    assert told.reached == [f"http://127.0.0.1:{port}", f"http://127.0.0.2:{port}"]
    assert told.accepted == 6


def test_a_name_that_nobody_knows_stands_for_itself() -> None:
    (process,) = processes_at("dns+http://no-such-name.invalid:4318")
    assert process == Process("http://no-such-name.invalid:4318")
    told = of_collectors(PipelineSettings.load(collectors="dns+http://no-such-name.invalid:4318"))
    assert list(told.unreachable) == [process.url]


@pytest.mark.parametrize("place", ["collector:43l8", "collector:99999", "collector..svc:4318", "c" * 64 + ":4318"])
def test_a_name_or_port_that_can_be_none_is_named_and_no_traceback(place: str) -> None:
    told = of_collectors(PipelineSettings.load(collectors=f"dns+http://{place}"))
    assert list(told.unreachable) == [f"http://{place}"]


def test_what_does_not_answer_is_named_beside_what_does() -> None:
    with telling(b"celeryscope_indexer_waiting 1\n") as port:
        asked = f"http://127.0.0.1:{port},http://127.0.0.1:1"
        told, silent = of_indexers(PipelineSettings.load(indexers=asked))
    assert [(indexer.url, indexer.waiting) for indexer in told] == [(f"http://127.0.0.1:{port}", True)]
    assert ["http://127.0.0.1:1/metrics" in str(why) for why in silent] == [True]


def test_certificates_of_an_own_authority_are_known_and_clients_show_theirs(certificates: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    ours = {
        "ca_file": certificates / "ca.pem",
        "client_cert_file": certificates / "client.pem",
        "client_key_file": certificates / "client.key",
    }
    with telling(ACCEPTED, tls=context) as port:
        asked = f"https://127.0.0.1:{port}"
        assert of_collectors(PipelineSettings.load(collectors=asked, **ours)).accepted == 3
        assert list(of_collectors(PipelineSettings.load(collectors=asked)).unreachable) == [asked]
        without = {"ca_file": certificates / "ca.pem"}
        assert list(of_collectors(PipelineSettings.load(collectors=asked, **without)).unreachable) == [asked]


@pytest.mark.usefixtures("two_addresses")
@pytest.mark.parametrize(("name", "reached"), [("server", 2), ("other", 0)])
def test_behind_a_name_the_certificate_is_the_names(
    certificates: Path, name: str, reached: int, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    with telling(ACCEPTED, tls=context) as port, telling(ACCEPTED, "127.0.0.2", port, context):
        asked = PipelineSettings.load(collectors=f"dns+https://{name}:{port}", ca_file=certificates / "ca.pem")
        told = of_collectors(asked)
    assert len(told.reached) == reached
    # For which name a certificate is wrong: else nobody can mend it.
    unfit = [why for why in told.unreachable.values() if "certificate is not valid for 'other'" in why]
    assert len(unfit) == 2 - reached
    # The watcher asks each 15 s, and tells it once.
    assert caplog.records == []
