from pathlib import Path

import pytest

from celeryscope.errors import ConfigError
from celeryscope.settings import Settings


def test_every_kind_of_setting_is_read_from_the_environment() -> None:
    settings = Settings.load(
        {
            "CELERYSCOPE_ENDPOINT": "https://scope.internal:4318",
            "CELERYSCOPE_LOGS": "off",
            "CELERYSCOPE_SHIP_INTERVAL": "0.25",
            "CELERYSCOPE_SPOOL_MAX_BYTES": "1000",
            "CELERYSCOPE_SPOOL_DIR": "/srv/spool",
            "CELERYSCOPE_REDACT_NAMES": "iban, tax_id,",
            "OTHER": "ignored",
        }
    )
    assert settings.endpoint == "https://scope.internal:4318"
    assert settings.logs is False
    assert settings.ship_interval == 0.25
    assert settings.spool_max_bytes == 1000
    assert settings.redact_names == ("iban", "tax_id")
    assert settings.spool_dir == Path("/srv/spool")


def test_arguments_win_over_the_environment() -> None:
    assert Settings.load({"CELERYSCOPE_LOG_LEVEL": "ERROR"}, log_level="DEBUG").log_level == "DEBUG"


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        Settings.load({"CELERYSCOPE_ENDPIONT": "x", "CELERYSCOPE_LOGS": "perhaps"}, colour="red")
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["colour", "CELERYSCOPE_ENDPIONT", "CELERYSCOPE_LOGS"]


def test_settings_of_the_services_may_stand_in_the_same_environment() -> None:
    Settings.load({"CELERYSCOPE_ELASTICSEARCH_URL": "http://x", "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": "y"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENDPOINT", "collector:4318"),
        ("LOG_LEVEL", "LOUD"),
        ("REQUEST_TIMEOUT", "0"),
        ("SEGMENT_MAX_BYTES", "-1"),
        ("STACK_AFTER", "-1"),
        ("STACK_AFTER", "nan"),
        ("STACK_SIGNAL", "9"),
        ("STACK_SIGNAL", "65"),
    ],
)
def test_a_value_that_can_not_work_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"CELERYSCOPE_{variable}"):
        Settings.load({f"CELERYSCOPE_{variable}": value})


def test_the_token_does_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(Settings(token="hunter2"))


def test_a_token_may_stand_in_a_file_and_the_token_itself_wins(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("csc_one\n")
    environ = {"CELERYSCOPE_TOKEN_FILE": str(secret)}
    assert Settings.load(environ).token == "csc_one"
    assert Settings.load(environ | {"CELERYSCOPE_TOKEN": "csc_two"}).token == "csc_two"
    with pytest.raises(ConfigError, match=r"TOKEN_FILE: .* can't be read"):
        Settings.load({"CELERYSCOPE_TOKEN_FILE": "/nowhere"})
