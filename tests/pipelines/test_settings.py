from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope.service.elasticsearch import ElasticsearchSettings
from celeryscope.service.kafka import KafkaSettings
from celeryscope_pipelines.settings import PipelineSettings


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("http://search", "http://search:9200"),
        ("https://search/", "https://search:443/"),
        ("https://search:9243", "https://search:9243"),
        ("http://one:9200, http://two", "http://one:9200,http://two:9200"),
    ],
)
def test_an_address_without_a_port_gets_the_usual_one(given: str, means: str) -> None:
    assert ElasticsearchSettings.load(url=given).url == means


def test_only_processes_that_somebody_has_named_are_asked_by_the_watcher() -> None:
    named = PipelineSettings.load(indexers="http://one:9465").named
    assert (named.collector_urls, named.indexer_urls) == ((), ("http://one:9465",))


def test_files_that_are_no_certificates_are_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hunter2")
    with pytest.raises(ConfigError, match="CELERYSCOPE_PIPELINE_CA_FILE") as raised:
        PipelineSettings.load(ca_file=tmp_path / "ca.pem").tls()
    assert "hunter2" not in str(raised.value)


def test_a_process_may_stand_behind_a_path_of_a_proxy() -> None:
    given = "http://[::1]:4318, https://proxy/collectors/1/, dns+https://collectors:4318"
    assert PipelineSettings.load(collectors=given).collector_urls == (
        "http://[::1]:4318",
        "https://proxy/collectors/1/",
        "dns+https://collectors:4318",
    )


@pytest.mark.parametrize(
    ("group", "settings", "problem"),
    [
        (ElasticsearchSettings, {"url": "search:9200"}, "URL: each address"),
        (ElasticsearchSettings, {"url": "http://u:hunter2@search:99999"}, "URL: each address"),
        (ElasticsearchSettings, {"url": "http://"}, "URL: each address"),
        (ElasticsearchSettings, {"ca_file": Path("/nowhere.pem")}, "CA_FILE: Path does not point to a file"),
        (ElasticsearchSettings, {"api_key": "hunter2-\N{CYRILLIC SMALL LETTER YA}"}, "API_KEY: must be plain ASCII"),
        (ElasticsearchSettings, {"username": "ann"}, r"\*: username and password are given together"),
        (PipelineSettings, {"indexers": "http://one:1,http://u:hunter2@two:9465"}, "INDEXERS: each address must be"),
        (PipelineSettings, {"collectors": "localhost:4318"}, "COLLECTORS: each address must be"),
        (KafkaSettings, {"bootstrap_servers": "broker"}, "BOOTSTRAP_SERVERS: each broker must be host:port"),
        (KafkaSettings, {"bootstrap_servers": "broker:0"}, "BOOTSTRAP_SERVERS: each broker must be host:port"),
        (KafkaSettings, {"security_protocol": "SASL_SSL"}, "needs sasl_mechanism"),
        (KafkaSettings, {"ssl_ca_file": Path("/nowhere.pem")}, "SSL_CA_FILE: Path does not point to a file"),
    ],
)
def test_what_can_not_work_is_told_at_the_start_without_the_value(
    group: type[ElasticsearchSettings | KafkaSettings | PipelineSettings], settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        group.load(**settings)
    assert "hunter2" not in str(raised.value)


def test_a_secret_may_stand_in_a_file_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYSCOPE_SECRETS_DIR", str(tmp_path))
    (tmp_path / "celeryscope_elasticsearch_username").write_text("ann\n")
    (tmp_path / "celeryscope_elasticsearch_password").write_text("hunter2\n")
    from_files = ElasticsearchSettings.load()
    assert from_files.username == "ann"
    assert from_files.password is not None
    assert from_files.password.get_secret_value() == "hunter2"
    monkeypatch.setenv("CELERYSCOPE_ELASTICSEARCH_USERNAME", "bob")
    assert ElasticsearchSettings.load().username == "bob"


def test_a_folder_of_secrets_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERYSCOPE_SECRETS_DIR", "/nowhere")
    with pytest.raises(ConfigError, match="CELERYSCOPE_SECRETS_DIR: /nowhere is no folder"):
        ElasticsearchSettings.load()
