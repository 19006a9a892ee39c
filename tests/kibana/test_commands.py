"""`celeryscope kibana`, as a person types it, against the stand-in for Kibana."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from celeryscope.cli import main
from celeryscope.service.rules.reading import read_rules
from celeryscope_kibana.bundle import SHIPPED
from celeryscope_kibana.installing import objects_of
from support.kibana_standin import PASSWORD, USER, StandIn, stand_in

OBJECTS = objects_of(SHIPPED.read_bytes())
RULES = read_rules()


@pytest.fixture
def kibana() -> Iterator[StandIn]:
    with stand_in() as server:
        yield server


def run(kibana: StandIn, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as a person types it, in this process: each start of another one takes a second."""
    known = {
        "CELERYSCOPE_KIBANA_URL": kibana.url,
        "CELERYSCOPE_KIBANA_USERNAME": USER,
        "CELERYSCOPE_KIBANA_PASSWORD": PASSWORD,
    }
    done = CliRunner().invoke(main, ["kibana", *arguments], env=known | environ)
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def actions(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, str], str]:
    assert done.stdout, done.stderr
    return {(item["kind"], item["name"]): item["action"] for item in json.loads(done.stdout)["items"]}


@pytest.mark.parametrize("version", ["8.19.4", "9.2.1"])
def test_all_of_it_is_installed_and_a_second_run_changes_nothing(kibana: StandIn, version: str) -> None:
    kibana.version = version
    first = run(kibana, "install", "--json")
    assert first.returncode == 0, first.stderr
    assert set(actions(first).values()) == {"created"}
    assert len(kibana.objects) == len(OBJECTS)
    assert len(kibana.rules) == len(RULES)
    assert {connector["connector_type_id"] for connector in kibana.connectors.values()} == {".server-log", ".index"}
    kibana.changes.clear()
    again = run(kibana, "install", "--json")
    assert set(actions(again).values()) == {"unchanged"}
    assert kibana.changes == []
    assert run(kibana, "verify").returncode == 0


def test_a_dry_run_tells_the_same_and_changes_nothing(kibana: StandIn) -> None:
    told = run(kibana, "install", "--json", "--dry-run", "--space", "celery", "--solution-view")
    assert kibana.changes == []
    done = run(kibana, "install", "--json", "--space", "celery", "--solution-view")
    assert actions(told) == actions(done)


def test_a_space_is_made_and_shows_observability(kibana: StandIn) -> None:
    assert run(kibana, "install", "--space", "celery", "--solution-view").returncode == 0
    assert kibana.spaces["celery"]["solution"] == "oblt"
    assert {space for space, *_ in kibana.objects} == {"celery"}
    assert {space for space, _ in kibana.rules} == {"celery"}
    assert "solution" not in kibana.spaces["default"]


def test_two_spaces_have_objects_and_rules_of_their_own(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    assert run(kibana, "install", "--space", "celery").returncode == 0
    assert len(kibana.rules) == 2 * len(RULES)
    assert len(kibana.objects) == 2 * len(OBJECTS)
    assert run(kibana, "uninstall").returncode == 0
    assert {space for space, *_ in kibana.objects} == {"celery"}


def test_a_rule_that_a_user_has_changed_stays_unless_told_otherwise(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    key, rule = next(iter(kibana.rules.items()))
    rule["schedule"] = {"interval": "5m"}
    kept = run(kibana, "install")
    assert kept.returncode == 0
    assert "--overwrite-rules" in kept.stdout
    assert kibana.rules[key]["schedule"] == {"interval": "5m"}
    assert run(kibana, "install", "--overwrite-rules").returncode == 0
    assert kibana.rules[key]["schedule"] != {"interval": "5m"}


def test_a_rule_that_is_switched_off_stays_so_and_verify_says_it(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    rule = next(iter(kibana.rules.values()))
    rule["enabled"] = False
    assert run(kibana, "install", "--overwrite-rules").returncode == 0
    assert rule["enabled"] is False
    checked = run(kibana, "verify")
    assert checked.returncode == 1
    assert "switched off" in checked.stdout


def test_a_hold_that_the_rules_file_takes_away_is_taken_away(kibana: StandIn, tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.hold)
    file = tmp_path / "rules.yaml"
    file.write_text(f"rules:\n  {rule.id}: {{hold: 0s}}\n")
    assert run(kibana, "install").returncode == 0
    changed = actions(run(kibana, "install", "--json", "--rules-file", str(file)))
    assert changed["rule", rule.title] == "changed"
    (found,) = [found for found in kibana.rules.values() if found["name"].endswith(f": {rule.title}")]
    assert found["alert_delay"] == {"active": 1}
    assert set(actions(run(kibana, "install", "--json", "--rules-file", str(file))).values()) == {"unchanged"}


def test_a_rule_that_the_rules_file_switches_off_goes_from_kibana_too(kibana: StandIn, tmp_path: Path) -> None:
    assert run(kibana, "install").returncode == 0
    off, changed = RULES[0], RULES[1]
    next(found for found in kibana.rules.values() if found["name"].endswith(changed.title))["tags"].append("mine")
    file = tmp_path / "rules.yaml"
    file.write_text(f"rules:\n  {off.id}: {{enabled: false}}\n  {changed.id}: {{enabled: false}}\n")
    told = actions(run(kibana, "install", "--json", "--dry-run", CELERYSCOPE_WATCH_RULES=str(file)))
    assert (told["rule", off.title], told["rule", changed.title]) == ("deleted", "kept")
    assert len(kibana.rules) == len(RULES)
    assert actions(run(kibana, "install", "--json", CELERYSCOPE_WATCH_RULES=str(file))) == told
    assert len(kibana.rules) == len(RULES) - 1


def test_uninstall_takes_rules_that_were_switched_off_since(kibana: StandIn, tmp_path: Path) -> None:
    assert run(kibana, "install").returncode == 0
    file = tmp_path / "rules.yaml"
    file.write_text("rules:\n" + "".join(f"  {rule.id}: {{enabled: false}}\n" for rule in RULES))
    assert run(kibana, "uninstall", CELERYSCOPE_WATCH_RULES=str(file)).returncode == 0
    assert kibana.rules == {}


def test_messages_tell_thresholds_and_no_placeholders(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    texts = [json.dumps(rule["actions"]) for rule in kibana.rules.values()]
    assert texts
    assert not [found for text in texts for found in re.findall(r"(?<!\{)\{\w+\}(?!\})", text)]
    assert any("more than 20s" in text for text in texts), "of the rule broker-lost"


def test_messages_link_to_the_rule_s_dashboard_in_its_space_if_kibana_knows_its_address(kibana: StandIn) -> None:
    assert run(kibana, "install", "--space", "celery").returncode == 0
    dashboards = {key[2] for key in kibana.objects if key[1] == "dashboard"}
    for rule in kibana.rules.values():
        fires = json.dumps([action["params"] for action in rule["actions"] if action["group"] == "query matched"])
        links = re.findall(r"\{\{#kibanaBaseUrl\}\}View: (\S+?)\{\{/kibanaBaseUrl\}\}", fires)
        assert len(links) == 2, "in the log and in the index"
        path = "{{{kibanaBaseUrl}}}/s/celery/app/dashboards#/view/"
        assert all(link.startswith(path) for link in links)
        assert {link.removeprefix(path).partition("?")[0] for link in links} <= dashboards


def test_a_rule_of_an_older_release_is_brought_up_to_date(kibana: StandIn, tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.parameters)
    name, parameter = next(iter(rule.parameters.items()))
    value = parameter.maximum or parameter.minimum + 100
    other = tmp_path / "rules.yaml"
    text = f"{int(value)}s" if not isinstance(parameter.default, int | float) else f"{value}"
    other.write_text(f"rules:\n  {rule.id}:\n    parameters:\n      {name}: {text}\n")
    assert run(kibana, "install").returncode == 0
    before = {key: found["params"]["esqlQuery"] for key, found in kibana.rules.items()}
    done = run(kibana, "install", "--rules-file", str(other), "--json")
    assert [key for key, action in actions(done).items() if action == "changed"] == [("rule", rule.title)]
    changed = [key for key, found in kibana.rules.items() if found["params"]["esqlQuery"] != before[key]]
    assert len(changed) == 1


def test_what_a_user_changed_in_a_view_is_exported_for_review(kibana: StandIn, tmp_path: Path) -> None:
    assert run(kibana, "install").returncode == 0
    assert run(kibana, "export").returncode == 0
    key = next(key for key in kibana.objects if key[1] == "dashboard")
    kibana.objects[key]["attributes"]["title"] = "My own title"
    told = run(kibana, "export", "--output", str(tmp_path))
    assert told.returncode == 1
    assert '+    "title": "My own title"' in told.stdout
    (written,) = tmp_path.rglob("*.json")
    assert json.loads(written.read_text())["attributes"]["title"] == "My own title"
    assert "updated_at" not in written.read_text()
    assert run(kibana, "verify").returncode == 0, "a change of a user is fine"


def test_what_is_missing_is_told_and_brought_back(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    key = next(key for key in kibana.objects if key[1] == "search")
    del kibana.objects[key]
    checked = run(kibana, "verify")
    assert checked.returncode == 1
    assert "missing" in checked.stdout
    assert run(kibana, "install").returncode == 0
    assert key in kibana.objects


def test_a_connector_that_is_missing_is_told_and_brought_back(kibana: StandIn) -> None:
    assert run(kibana, "install").returncode == 0
    kibana.connectors.popitem()
    checked = run(kibana, "verify", "--json")
    assert checked.returncode == 1
    assert [key for key, action in actions(checked).items() if action == "missing"]
    assert run(kibana, "install").returncode == 0
    assert len(kibana.connectors) == 2


def test_an_address_that_is_a_secret_need_not_stand_on_the_command_line(kibana: StandIn) -> None:
    kibana.licence = "trial"
    secret = "http://127.0.0.1:9/T0/B0/hush"
    done = run(kibana, "install", CELERYSCOPE_KIBANA_SLACK=secret)
    assert done.returncode == 0, done.stderr
    (slack,) = [found for found in kibana.connectors.values() if found["connector_type_id"] == ".slack"]
    assert slack["secrets"] == {"webhookUrl": secret}
    assert "hush" not in done.stdout + done.stderr


def test_uninstall_leaves_nothing_of_ours_and_all_of_others(kibana: StandIn) -> None:
    kibana.objects["default", "dashboard", "theirs"] = {"type": "dashboard", "id": "theirs"}
    assert run(kibana, "install").returncode == 0
    told = run(kibana, "uninstall", "--dry-run")
    assert told.returncode == 0
    assert len(kibana.objects) == len(OBJECTS) + 1
    assert run(kibana, "uninstall").returncode == 0
    assert list(kibana.objects) == [("default", "dashboard", "theirs")]
    assert kibana.rules == {}
    assert kibana.connectors == {}
    assert run(kibana, "uninstall").returncode == 0


@pytest.mark.parametrize(
    ("option", "address"),
    [
        ("--webhook", "http://127.0.0.1:9/hook"),
        ("--slack", "http://127.0.0.1:9/hook"),
        ("--email", "smtp://127.0.0.1:9?from=celery@example.com&to=ops@example.com"),
    ],
)
def test_a_connector_that_the_licence_lacks_is_refused_with_a_way_out(
    kibana: StandIn, option: str, address: str
) -> None:
    refused = run(kibana, "install", option, address)
    assert refused.returncode == 2
    assert "Gold" in refused.stderr
    assert "celeryscope watch" in refused.stderr
    assert kibana.changes == []
    kibana.licence = "trial"
    assert run(kibana, "install", option, address).returncode == 0
    assert len(kibana.connectors) == 3
    assert run(kibana, "uninstall").returncode == 0
    assert kibana.connectors == {}


def test_alerts_are_mailed_by_the_server_and_to_the_people_of_the_address(kibana: StandIn) -> None:
    kibana.licence = "trial"
    address = (
        "smtps://al%40ice:hu%23sh@mail.example.com?from=celery@example.com&to=ops+night@example.com,shop@example.com"
    )
    done = run(kibana, "install", CELERYSCOPE_KIBANA_EMAIL=address)
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout + done.stderr
    (mail,) = [found for found in kibana.connectors.values() if found["connector_type_id"] == ".email"]
    assert mail["config"]["host"] == "mail.example.com"
    assert (mail["config"]["port"], mail["config"]["secure"]) == (465, True)
    assert mail["secrets"] == {"user": "al@ice", "password": "hu#sh"}
    (rule, *_) = kibana.rules.values()
    fires, resolves = (action["params"] for action in rule["actions"] if action["id"] == mail["id"])
    assert fires["to"] == resolves["to"] == ["ops+night@example.com", "shop@example.com"]
    assert fires["subject"].startswith(("[critical]", "[high]", "[medium]", "[low]"))
    assert resolves["subject"].startswith("[resolved]")
    assert set(actions(run(kibana, "install", "--json", CELERYSCOPE_KIBANA_EMAIL=address)).values()) == {
        "unchanged",
        "changed",
    }, "a secret can't be read back, so its connector is written again"


@pytest.mark.parametrize(
    "address",
    [
        "mailto:ops@example.com",
        "imap://hunter2@host?from=a@example.com&to=b@example.com",
        "smtp://host?from=a@example.com",
        "smtp://host?to=b@example.com",
        "smtp://host:hunter2?from=a@example.com&to=b@example.com",
        "smtp://hunter2@host?from=a@example.com&to=b@example.com",
        "smtp://host?from=a@example.com&to=b@example.com&cc=c@example.com",
        "smtp://?from=a@example.com&to=b@example.com",
    ],
)
def test_an_address_of_mail_that_is_none_is_told_without_repeating_it(kibana: StandIn, address: str) -> None:
    refused = run(kibana, "install", CELERYSCOPE_KIBANA_EMAIL=address)
    assert refused.returncode == 2
    assert "CELERYSCOPE_KIBANA_EMAIL" in refused.stderr
    assert "hunter2" not in refused.stderr
    assert kibana.changes == []


def test_a_kibana_that_still_starts_is_waited_for(kibana: StandIn) -> None:
    kibana.starting = 2
    done = run(kibana, "install", "--wait", "30")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("waiting:") == 1
    kibana.starting = 1
    assert run(kibana, "install").returncode == 4


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"version": "8.17.3"}, 6, "need 8.19"),
        ({"version": "9.0.8"}, 6, "9.1 or later"),
        ({"encryption_key": False}, 2, "xpack.encryptedSavedObjects.encryptionKey"),
        ({"lacks": "/api/alerting/rule"}, 5, "lacks a privilege"),
        ({"lacks": "/api/saved_objects"}, 5, "deploy/kibana/installer.json"),
        ({"administrator": False}, 5, "make and change spaces"),
        ({"least_interval": "1m"}, 2, "minimumScheduleInterval"),
    ],
)
def test_an_obstacle_is_told_in_a_sentence(kibana: StandIn, change: dict[str, object], code: int, words: str) -> None:
    for name, value in change.items():
        setattr(kibana, name, value)
    done = run(kibana, "install", "--space", "celery")
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_views_go_without_an_encryption_key_when_rules_are_not_wanted(kibana: StandIn) -> None:
    kibana.encryption_key = False
    assert run(kibana, "install", "--no-rules").returncode == 0
    assert kibana.objects
    assert not kibana.rules


def test_wrong_credentials_and_no_kibana_are_told_apart(kibana: StandIn) -> None:
    wrong = run(kibana, "install", CELERYSCOPE_KIBANA_PASSWORD="guess")
    assert wrong.returncode == 5
    assert "CELERYSCOPE_KIBANA_API_KEY" in wrong.stderr
    assert "guess" not in wrong.stderr
    away = run(kibana, "install", CELERYSCOPE_KIBANA_URL="http://127.0.0.1:9")
    assert away.returncode == 4
    assert "CELERYSCOPE_KIBANA_URL" in away.stderr
