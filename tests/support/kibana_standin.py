"""Stands for a Kibana, which can't run here: the requests of the installer, answered as Kibana's reference says.

It is strict where Kibana is: no change without ``kbn-xsrf``, no property it does not know, ids of rules are UUIDs, an
id that is taken is 409, references of an import must resolve, and what is exported was migrated and given defaults.
"""

import base64
import email
import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

RULE_PROPERTIES: Final = {
    "create": {
        "name",
        "rule_type_id",
        "consumer",
        "enabled",
        "schedule",
        "params",
        "actions",
        "tags",
        "alert_delay",
        "throttle",
        "notify_when",
        "flapping",
    },
    "update": {"name", "schedule", "params", "actions", "tags", "alert_delay", "throttle", "notify_when", "flapping"},
}
ES_QUERY_PARAMS: Final = {
    "searchType",
    "esqlQuery",
    "timeField",
    "timeWindowSize",
    "timeWindowUnit",
    "threshold",
    "thresholdComparator",
    "size",
    "groupBy",
    "aggType",
    "excludeHitsFromPreviousRun",
}
NOT_PUBLIC: Final = {"/api/licensing/info"}
"""Paths that Kibana 9 (``server.restrictInternalApis``) answers to itself only, whatever they are called."""
USER, PASSWORD = "installer", "hunter2"


class StandIn(ThreadingHTTPServer):
    """What it has been told, and switches for what a Kibana may be like."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.version = "8.19.4"
        self.licence = "basic"
        self.encryption_key = True
        self.starting = 0
        """So many requests are answered 503."""
        self.lacks = ""
        """A path that begins so is answered 403."""
        self.administrator = True
        """Whether the user may make and change spaces."""
        self.least_interval = ""
        """``xpack.alerting.rules.minimumScheduleInterval``, enforced; in whole minutes."""
        self.spaces: dict[str, dict[str, Any]] = {"default": {"id": "default", "name": "Default"}}
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.rules: dict[tuple[str, str], dict[str, Any]] = {}
        self.connectors: dict[tuple[str, str], dict[str, Any]] = {}
        self.changes: list[str] = []
        """Method and path of each request that changes something."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Refusal(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"statusCode": status, "error": "Refused", "message": message, **more}


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"
    # Head and body are written one after the other.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, body = self._answer(data)
        except _Refusal as refusal:
            status, body = refusal.status, refusal.body
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self, data: bytes) -> tuple[int, Any]:
        if self.server.starting:
            self.server.starting -= 1
            return 503, b"Kibana server is not ready yet"
        self._require_login()
        found = re.fullmatch(r"(?:/s/([a-z0-9_-]+))?(/api/[^?]*)(?:\?.*)?", self.path)
        if not found:
            raise _Refusal(404, "Not Found")
        space, path = found[1] or "default", found[2]
        if self.server.lacks and path.startswith(self.server.lacks):
            raise _Refusal(403, f"API [{self.command} {path}] is unauthorized for user, it needs a privilege")
        if self.command != "GET":
            if not self.headers.get("kbn-xsrf"):
                raise _Refusal(400, "Request must contain a kbn-xsrf header.")
            if not path.endswith("/_export"):
                self.server.changes.append(f"{self.command} {self.path}")
        if space not in self.server.spaces:
            raise _Refusal(404, f"Saved object [space/{space}] not found")
        self._require_public(path)
        for pattern, handler in _ROUTES.items():
            if matched := re.fullmatch(pattern, f"{self.command} {path}"):
                return handler(self, space, data, *matched.groups())
        raise _Refusal(404, "Not Found")

    def _require_public(self, path: str) -> None:
        if (path.startswith("/internal/") or path in NOT_PUBLIC) and self.server.version >= "9":
            raise _Refusal(400, f"uri [{path}] exists but is not available with the current configuration")

    def _require_login(self) -> None:
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            raise _Refusal(401, "[security_exception] unable to authenticate user")

    def status(self, *_: Any) -> tuple[int, Any]:
        return 200, {"version": {"number": self.server.version}, "status": {"overall": {"level": "available"}}}

    def connector_types(self, *_: Any) -> tuple[int, Any]:
        free = self.server.licence == "basic"
        paid = {".webhook": "gold", ".slack": "gold", ".email": "gold"}
        return 200, [
            {"id": kind, "enabled_in_license": not free or kind not in paid, "enabled_in_config": True}
            for kind in (".server-log", ".index", *paid)
        ]

    def health(self, *_: Any) -> tuple[int, Any]:
        return 200, {"is_sufficiently_secure": True, "has_permanent_encryption_key": self.server.encryption_key}

    def get_space(self, _: str, __: bytes, name: str) -> tuple[int, Any]:
        if name not in self.server.spaces:
            raise _Refusal(404, "Not Found")
        return 200, self.server.spaces[name]

    def put_space(self, _: str, data: bytes, *name: str) -> tuple[int, Any]:
        body = json.loads(data)
        if not self.server.administrator:
            raise _Refusal(403, f"Unauthorized to {'update' if name else 'create'} spaces")
        if set(body) - {"id", "name", "description", "solution", "disabledFeatures", "color", "initials", "imageUrl"}:
            raise _Refusal(400, "[request body]: definition for this key is missing")
        if not name and body["id"] in self.server.spaces:
            raise _Refusal(409, "A space with this identifier already exists.")
        self.server.spaces[body["id"]] = {"disabledFeatures": [], **body}
        return 200, self.server.spaces[body["id"]]

    def import_objects(self, space: str, data: bytes) -> tuple[int, Any]:
        header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = [part for part in email.message_from_bytes(header + data).walk() if part.get_filename()]
        if len(parts) != 1 or not str(parts[0].get_filename()).endswith(".ndjson"):
            raise _Refusal(400, "Invalid file extension .ndjson")
        payload = parts[0].get_payload(decode=True)
        assert isinstance(payload, bytes)
        objects = [json.loads(line) for line in payload.splitlines() if line.strip()]
        there = {(item["type"], item["id"]) for item in objects}
        errors = [
            {"type": item["type"], "id": item["id"], "error": {"type": "missing_references", "references": [reference]}}
            for item in objects
            for reference in item["references"]
            if reference["type"] in {"index-pattern", "search"} and (reference["type"], reference["id"]) not in there
        ]
        if errors:
            return 200, {"success": False, "successCount": 0, "errors": errors}
        for item in objects:
            if any(key[1:] == (item["type"], item["id"]) for key in self.server.objects if key[0] != space):
                raise _Refusal(409, "the id is taken in another space")
            migrated = {**item, "typeMigrationVersion": "99.0.0", "updated_at": "2026-11-21T00:00:00.000Z"}
            migrated["attributes"] = {**item["attributes"], "addedByKibana": True}
            self.server.objects[space, item["type"], item["id"]] = migrated
        return 200, {"success": True, "successCount": len(objects), "successResults": []}

    def export_objects(self, space: str, data: bytes) -> tuple[int, Any]:
        wanted = [(space, item["type"], item["id"]) for item in json.loads(data)["objects"]]
        missing = [
            {"type": key[1], "id": key[2], "error": {"statusCode": 404, "error": "Not Found", "message": "not found"}}
            for key in wanted
            if key not in self.server.objects
        ]
        if missing:
            raise _Refusal(400, "Error fetching objects to export", attributes={"objects": missing})
        return 200, "\n".join(json.dumps(self.server.objects[key]) for key in wanted).encode()

    def delete_object(self, space: str, _: bytes, kind: str, name: str) -> tuple[int, Any]:
        if self.server.objects.pop((space, kind, name), None) is None:
            raise _Refusal(404, "Saved object not found")
        return 200, {}

    def get_rule(self, space: str, _: bytes, name: str) -> tuple[int, Any]:
        return 200, _there(self.server.rules, space, name)

    def create_rule(self, space: str, data: bytes, name: str) -> tuple[int, Any]:
        uuid.UUID(name)
        if name in {identity for _, identity in self.server.rules}:
            raise _Refusal(409, f"Saved object [alert/{name}] conflict")
        body = _checked_rule(json.loads(data), "create")
        if self.server.least_interval and not body["schedule"]["interval"].endswith("m"):
            least = self.server.least_interval
            raise _Refusal(
                400, f"Error creating rule: the interval is less than the allowed minimum interval of {least}"
            )
        for action in body["actions"]:
            if (space, action["id"]) not in self.server.connectors:
                raise _Refusal(400, f"Invalid connectors: {action['id']}")
            if self.server.connectors[space, action["id"]]["connector_type_id"] == ".email":
                _check_mail(action["params"])
        extra = {"execution_status": {"status": "pending"}, "revision": 0, "running": False, "id": name}
        self.server.rules[space, name] = _as_kept(body) | extra
        return 200, self.server.rules[space, name]

    def update_rule(self, space: str, data: bytes, name: str) -> tuple[int, Any]:
        rule = _there(self.server.rules, space, name)
        rule |= _as_kept(_checked_rule(json.loads(data), "update"))
        return 200, rule

    def delete_rule(self, space: str, _: bytes, name: str) -> tuple[int, Any]:
        _there(self.server.rules, space, name)
        del self.server.rules[space, name]
        return 204, b""

    def get_connector(self, space: str, _: bytes, name: str) -> tuple[int, Any]:
        found = _there(self.server.connectors, space, name)
        return 200, {key: found[key] for key in found if key != "secrets"}

    def create_connector(self, space: str, data: bytes, name: str) -> tuple[int, Any]:
        body = json.loads(data)
        if set(body) - {"name", "connector_type_id", "config", "secrets"}:
            raise _Refusal(400, "[request body]: definition for this key is missing")
        if name in {identity for _, identity in self.server.connectors}:
            raise _Refusal(409, "conflict")
        if body["connector_type_id"] == ".email":
            _check_mail_server(body)
        self.server.connectors[space, name] = {"config": {}, "id": name, "is_preconfigured": False, **body}
        return 200, self.server.connectors[space, name]

    def update_connector(self, space: str, data: bytes, name: str) -> tuple[int, Any]:
        found, body = _there(self.server.connectors, space, name), json.loads(data)
        if set(body) - {"name", "config", "secrets"}:
            raise _Refusal(400, "[request body]: definition for this key is missing")
        found |= body
        return 200, found

    def delete_connector(self, space: str, _: bytes, name: str) -> tuple[int, Any]:
        _there(self.server.connectors, space, name)
        del self.server.connectors[space, name]
        return 204, b""


_ROUTES: Final[dict[str, Callable[..., tuple[int, Any]]]] = {
    "GET /api/status": _Handler.status,
    "GET /api/actions/connector_types": _Handler.connector_types,
    "GET /api/alerting/_health": _Handler.health,
    "GET /api/spaces/space/([^/]+)": _Handler.get_space,
    "POST /api/spaces/space": _Handler.put_space,
    "PUT /api/spaces/space/([^/]+)": _Handler.put_space,
    "POST /api/saved_objects/_import": _Handler.import_objects,
    "POST /api/saved_objects/_export": _Handler.export_objects,
    "DELETE /api/saved_objects/([^/]+)/([^/]+)": _Handler.delete_object,
    "GET /api/alerting/rule/([^/]+)": _Handler.get_rule,
    "POST /api/alerting/rule/([^/]+)": _Handler.create_rule,
    "PUT /api/alerting/rule/([^/]+)": _Handler.update_rule,
    "DELETE /api/alerting/rule/([^/]+)": _Handler.delete_rule,
    "GET /api/actions/connector/([^/]+)": _Handler.get_connector,
    "POST /api/actions/connector/([^/]+)": _Handler.create_connector,
    "PUT /api/actions/connector/([^/]+)": _Handler.update_connector,
    "DELETE /api/actions/connector/([^/]+)": _Handler.delete_connector,
}


def _there(kept: dict[tuple[str, str], dict[str, Any]], space: str, name: str) -> dict[str, Any]:
    if (space, name) not in kept:
        raise _Refusal(404, f"Saved object [{name}] not found")
    return kept[space, name]


def _checked_rule(body: dict[str, Any], kind: str) -> dict[str, Any]:
    if extra := set(body) - RULE_PROPERTIES[kind]:
        raise _Refusal(400, f"[request body.{min(extra)}]: definition for this key is missing")
    params = body["params"]
    if extra := set(params) - ES_QUERY_PARAMS:
        raise _Refusal(400, f"[params.{min(extra)}]: definition for this key is missing")
    if missing := {"size", "timeWindowSize", "timeWindowUnit", "threshold", "thresholdComparator"} - set(params):
        raise _Refusal(400, f"[params.{min(missing)}]: expected value, but got [undefined]")
    if not re.fullmatch(r"[1-9]\d*[smhd]", body["schedule"]["interval"]):
        raise _Refusal(400, "[schedule.interval]: is not a valid duration")
    for action in body["actions"]:
        if set(action) - {"id", "group", "params", "frequency", "uuid", "alerts_filter"}:
            raise _Refusal(400, "[actions]: definition for this key is missing")
        if action["group"] not in {"query matched", "recovered"}:
            raise _Refusal(400, f"Invalid action groups: {action['group']}")
    return body


def _check_mail_server(body: dict[str, Any]) -> None:
    """As Kibana's schema of the e-mail connector does."""
    config, secrets = body["config"], body["secrets"]
    known = {"service", "host", "port", "secure", "from", "hasAuth", "tenantId", "clientId", "oauthTokenUrl"}
    if set(config) - known or set(secrets) - {"user", "password", "clientSecret"}:
        raise _Refusal(400, "error validating connector type config: definition for this key is missing")
    if (
        not isinstance(config["host"], str)
        or not isinstance(config["port"], int)
        or not isinstance(config["from"], str)
    ):
        raise _Refusal(400, "error validating connector type config: [host], [port] and [from] are required")
    if config["hasAuth"] != bool(secrets.get("user") and secrets.get("password")):
        raise _Refusal(400, "error validating connector type connector: [user] and [password] are required")


def _check_mail(params: dict[str, Any]) -> None:
    if set(params) - {"to", "cc", "bcc", "subject", "message", "kibanaFooterLink"}:
        raise _Refusal(400, "[params]: definition for this key is missing")
    if not params.get("to") or not params.get("subject") or not params.get("message"):
        raise _Refusal(400, "no [to], [cc], or [bcc] entries, or no [subject] or [message]")


def _as_kept(body: dict[str, Any]) -> dict[str, Any]:
    """What Kibana adds by itself."""
    actions = [{**action, "uuid": str(uuid.uuid4()), "connector_type_id": "?"} for action in body["actions"]]
    return {**body, "actions": actions, "params": {**body["params"], "sourceFields": []}, "mute_all": False}
