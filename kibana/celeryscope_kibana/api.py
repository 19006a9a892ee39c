"""Kibana's HTTP interface: the requests that installing, checking and removing need, and one table of its errors."""

import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import urllib3

from celeryscope.errors import ConfigError, NotFound, Rejected, Unauthorized, Unavailable, WrongVersion
from celeryscope_kibana.settings import KibanaSettings

OLDEST: Final = (8, 19)
"""The first version whose rules tell the rows of an ES|QL query apart."""

WITHOUT_ROWS: Final = (9, 0)
"""Came before 8.19, and can't do that either."""

_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_MOST_TEXT: Final = 300

Json = dict[str, Any]


class Conflict(Exception):
    """Kibana has such an object already (409)."""


class Kibana:
    """One Kibana and one of its spaces, with the credentials of the settings; nothing is sent before it is asked.

    Each method is one request. It raises Unavailable when Kibana is away or still starts, Unauthorized for credentials
    or a missing privilege (with Kibana's own words about which), WrongVersion when something else answers, NotFound and
    Conflict where that is an answer, and Rejected for whatever Kibana does not take.
    """

    def __init__(self, settings: KibanaSettings) -> None:
        self.url = settings.url
        self.space = settings.space
        self._http = urllib3.PoolManager(
            timeout=settings.timeout,
            retries=False,
            ca_certs=str(settings.ca_file) if settings.ca_file else None,
            cert_reqs=ssl.CERT_REQUIRED if settings.verify_certs else ssl.CERT_NONE,
        )
        # Kibana refuses whatever changes something without the first header.
        self._headers = {"kbn-xsrf": "celeryscope", "Accept": "application/json"} | _login(settings)

    def version(self) -> tuple[int, int]:
        """Major and minor version. Raises WrongVersion for one that can't run our rules."""
        answer = self._request("GET", "/api/status", in_space=False)
        text = str(answer.get("version", {}).get("number", ""))
        major, _, rest = text.partition(".")
        minor = rest.partition(".")[0]
        if not (major.isdigit() and minor.isdigit()):
            if "status" in answer:
                # What Kibana tells those whom it does not know.
                raise Unauthorized(f"Kibana wants credentials. {_CREDENTIALS}")
            raise WrongVersion(_NO_KIBANA)
        if (found := (int(major), int(minor))) < OLDEST or found == WITHOUT_ROWS:
            raise WrongVersion(f"This is Kibana {text}; celeryscope's views and rules need 8.19, or 9.1 or later.")
        return found

    def unlicensed_connectors(self) -> set[str]:
        """The types of connectors that this Kibana's licence does not have, e.g. ``.slack``.

        Not of ``/api/licensing/info``, which is no public path: Kibana 9 answers it to itself only (400).
        """
        found = self._loaded("GET", "/api/actions/connector_types", in_space=False)
        return {item["id"] for item in found if not item.get("enabled_in_license", True)}

    def alerting_health(self) -> Json:
        """``has_permanent_encryption_key``, ``is_sufficiently_secure`` and more."""
        return self._request("GET", "/api/alerting/_health", in_space=False)

    def get_space(self, space: str) -> Json:
        """Raises NotFound."""
        return self._request("GET", f"/api/spaces/space/{quote(space)}", in_space=False)

    def create_space(self, body: Json) -> None:
        """Make a space."""
        self._request("POST", "/api/spaces/space", body, in_space=False)

    def update_space(self, body: Json) -> None:
        """Change a space to ``body``."""
        self._request("PUT", f"/api/spaces/space/{quote(body['id'])}", body, in_space=False)

    def import_objects(self, ndjson: bytes) -> Json:
        """Import saved objects over those that are there; the answer as Kibana gives it. Raises Rejected on errors."""
        fields = {"file": ("celeryscope.ndjson", ndjson, "application/ndjson")}
        path = "/api/saved_objects/_import?overwrite=true"
        answer = self._request("POST", path, fields=fields)
        if not answer.get("success"):
            problems = [
                f"{item.get('type')} {item.get('id')}: {item.get('error', {}).get('type')}"
                for item in answer.get("errors", [])
            ]
            raise Rejected("import", "Kibana did not take all saved objects: " + "; ".join(problems or ["no reason"]))
        return answer

    def export_objects(self, wanted: Sequence[tuple[str, str]]) -> list[Json]:
        """Of the objects (type and id) those that are there."""
        left = list(wanted)
        while left:
            objects = [{"type": kind, "id": name} for kind, name in left]
            body = {"objects": objects, "excludeExportDetails": True, "includeReferencesDeep": False}
            try:
                data = self._raw("POST", "/api/saved_objects/_export", body)
            except _Refused as refused:
                missing = _missing(refused.body)
                if not missing & set(left):
                    raise refused.error() from None
                left = [item for item in left if item not in missing]
                continue
            return [json.loads(line) for line in data.splitlines() if line.strip()]
        return []

    def delete_object(self, kind: str, name: str) -> None:
        """Delete a saved object. Raises NotFound."""
        self._request("DELETE", f"/api/saved_objects/{quote(kind)}/{quote(name)}?force=true")

    def get_rule(self, rule: str) -> Json:
        """Raises NotFound."""
        return self._request("GET", f"/api/alerting/rule/{quote(rule)}")

    def create_rule(self, rule: str, body: Json) -> None:
        """Raises Conflict when it is there."""
        self._request("POST", f"/api/alerting/rule/{quote(rule)}", body)

    def update_rule(self, rule: str, body: Json) -> None:
        """Change a rule; what can't change (its type, its owner, whether it is on) must not stand in ``body``."""
        self._request("PUT", f"/api/alerting/rule/{quote(rule)}", body)

    def delete_rule(self, rule: str) -> None:
        """Raises NotFound."""
        self._request("DELETE", f"/api/alerting/rule/{quote(rule)}")

    def get_connector(self, connector: str) -> Json:
        """Raises NotFound."""
        return self._request("GET", f"/api/actions/connector/{quote(connector)}")

    def create_connector(self, connector: str, body: Json) -> None:
        """Raises Conflict when it is there."""
        self._request("POST", f"/api/actions/connector/{quote(connector)}", body)

    def update_connector(self, connector: str, body: Json) -> None:
        """Change name, configuration and secrets."""
        self._request("PUT", f"/api/actions/connector/{quote(connector)}", body)

    def delete_connector(self, connector: str) -> None:
        """Raises NotFound."""
        self._request("DELETE", f"/api/actions/connector/{quote(connector)}")

    def _request(self, method: str, path: str, body: Json | None = None, **how: Any) -> Json:
        found = self._loaded(method, path, body, **how)
        if not isinstance(found, dict):
            raise WrongVersion(_NO_KIBANA)
        return found

    def _loaded(self, method: str, path: str, body: Json | None = None, **how: Any) -> Any:
        """The answer's JSON, an empty object when there is none; ``how`` is as ``_raw`` takes it."""
        try:
            data = self._raw(method, path, body, **how)
        except _Refused as refused:
            raise refused.error() from None
        try:
            return json.loads(data) if data else {}
        except ValueError:
            raise WrongVersion(_NO_KIBANA) from None

    def _raw(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        fields: Mapping[str, Any] | None = None,
        in_space: bool = True,
    ) -> bytes:
        space = f"/s/{quote(self.space)}" if in_space and self.space else ""
        address, options = f"{self.url}{space}{path}", _content(body, fields)
        try:
            answer = self._http.request(method, address, headers=self._headers, redirect=False, **options)
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(self.url, error) from None
        if answer.status in {301, 302, 303, 307, 308}:
            raise Unauthorized(f"Kibana sends us to its login page. {_CREDENTIALS}")
        if answer.status >= 400:
            raise _Refused(answer.status, answer.data, path)
        return answer.data


class _Refused(Exception):
    """An answer of 400 or above."""

    def __init__(self, status: int, data: bytes, path: str) -> None:
        super().__init__(status)
        self.status = status
        self._path = path
        try:
            loaded = json.loads(data)
        except ValueError:
            loaded = data.decode(errors="replace")
        self.body: Any = loaded

    def error(self) -> Exception:
        """What it means for us."""
        said = self.body.get("message") if isinstance(self.body, dict) else self.body
        text = " ".join(str(said or "").split())[:_MOST_TEXT]
        if self.status == 401:
            return Unauthorized(f"Kibana refused the credentials ({text}). {_CREDENTIALS}")
        if self.status == 403:
            needed = _SPACES if self._path.startswith("/api/spaces/") else _ROLE
            return Unauthorized(f"The user lacks a privilege in Kibana ({text}). {needed}")
        if self.status == 404:
            return NotFound(text)
        if self.status == 409:
            return Conflict(text)
        if self.status == 400 and "minimum interval" in text:
            return ConfigError(
                f"This Kibana does not run rules as often as ours want ({text}). Set `interval` of the rules in your "
                "file (--rules-file), or xpack.alerting.rules.minimumScheduleInterval in kibana.yml."
            )
        if self.status in _RETRYABLE:
            return Unavailable(f"Kibana is not ready ({self.status}: {text}). Try again later.")
        return Rejected(f"kibana_{self.status}", f"Kibana refused the request ({self.status}: {text}).")


_CREDENTIALS: Final = "Set CELERYSCOPE_KIBANA_API_KEY, or CELERYSCOPE_KIBANA_USERNAME and _PASSWORD."
_ROLE: Final = "The role in deploy/kibana/installer.json has all that are needed."
_SPACES: Final = (
    "Only those who may do everything in all spaces (`kibana_admin`) make and change spaces: make the space, and give "
    "it the Observability view, as such a user. The role in deploy/kibana/installer.json has all else that is needed."
)
_NO_KIBANA: Final = "What answers is not a Kibana. Check CELERYSCOPE_KIBANA_URL, and its base path if it has one."


def _login(settings: KibanaSettings) -> dict[str, str]:
    if settings.api_key:
        return {"Authorization": f"ApiKey {settings.api_key.get_secret_value()}"}
    if settings.username and settings.password:
        return dict(
            urllib3.make_headers(basic_auth=f"{settings.username}:{settings.password.get_secret_value()}"),
        )
    return {}


def _content(body: Json | None, fields: Mapping[str, Any] | None) -> dict[str, Any]:
    if fields is not None:
        return {"fields": fields}
    return {} if body is None else {"json": body}


def _missing(body: Any) -> set[tuple[str, str]]:
    """The objects that an export did not find, of its error."""
    attributes = body.get("attributes") if isinstance(body, dict) else None
    items = attributes.get("objects", []) if isinstance(attributes, dict) else []
    return {(item["type"], item["id"]) for item in items if isinstance(item, dict) and {"type", "id"} <= item.keys()}


def _unreachable(url: str, error: Exception) -> Exception:
    text = str(error).splitlines()[0][:_MOST_TEXT] if str(error) else type(error).__name__
    if isinstance(error, urllib3.exceptions.SSLError):
        return Unauthorized(
            f"The TLS connection to Kibana failed ({text}). Set CELERYSCOPE_KIBANA_CA_FILE to the CA that signed its "
            "certificate."
        )
    return Unavailable(f"Kibana is unreachable at {url} ({text}). Is it running, and is CELERYSCOPE_KIBANA_URL right?")
