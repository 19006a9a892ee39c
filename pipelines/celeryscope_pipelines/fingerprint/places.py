"""Whose code a frame belongs to, and how its place is called wherever the release is deployed."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from celeryscope_pipelines.fingerprint.model import Frame


class InApp(NamedTuple):
    """What a user says of it; patterns as in ``fnmatch``, of modules (``shop.*``) or, with a slash, of whole paths."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Goes before ``include``."""


AS_FOUND: Final = InApp()

_LIBRARIES: Final = (
    "aiohttp|amqp|anyio|asgiref|attr|boto3|botocore|certifi|click|cryptography|ddtrace|django|elasticapm|elasticsearch|"
    "eventlet|flask|gevent|google|greenlet|grpc|httpcore|httpx|jinja2|kafka|kombu|logfire|lxml|MySQLdb|newrelic|numpy|"
    "opentelemetry|pandas|paramiko|peewee|pika|psycopg|psycopg2|pydantic|pydantic_core|pymongo|pymysql|redis|requests|"
    "rest_framework|s3transfer|sentry_sdk|sqlalchemy|starlette|structlog|tenacity|tornado|urllib3|werkzeug|wrapt|zeep"
)
"""Packages that are recognised where an archive or a folder holds them beside the application's own."""
_INSTALLED: Final = re.compile(
    r"^<"  # frozen, generated or interactive code
    r"|[/\\](?:site|dist)-packages[/\\]"
    r"|[/\\]lib(?:64)?[/\\](?:python|pypy)3(?:\.\d+)?t?[/\\]"
    r"|[/\\](?:lib-python|lib_pypy)[/\\]"
    r"|[/\\]Python-?3[^/\\]*[/\\]Lib[/\\]"  # Windows, or built from source
    r"|[/\\]python3\d*\.zip[/\\]"
    r"|\.whl[/\\]|[/\\](?:app|code|current|project|repo|src|work|workspace)[/\\]vendors?[/\\]"
    rf"|[/\\]src[/\\](?P<package>{_LIBRARIES})[/\\](?:src[/\\])?(?P=package)[/\\]"  # installed from a repository
    r"|[/\\](?:\.eggs|\.deps|__pypackages__|_vendor|_vendored|vendored|third_party|thirdparty)[/\\]"
    rf"|[/\\](?:var[/\\]task|opt[/\\]python|deps|libs?|packages|vendors?)[/\\](?:{_LIBRARIES})[/\\]"
    r"|^(?![/\\]|[A-Za-z]:).*\.(?:pyx|pxi|pxd)$"  # Cython names the file as it was when the wheel was built
    r"|^src[/\\](?:gevent|greenlet|lxml)[/\\]"
    r"|[/\\](?:Scripts[/\\]celery\.exe|bin[/\\]celery)\b"
)
_INSTALLED_ON_WINDOWS: Final = re.compile(
    r"[A-Za-z]:[/\\](?:[^/\\]+[/\\]){0,12}?[^/\\]*(?:python|conda|pypy|envs|venv)[^/\\]*[/\\](?:[^/\\]+[/\\]){0,3}?lib[/\\]",
    re.IGNORECASE,
)
_PACKAGE: Final = re.compile(r"(?:[/\\](?:site|dist)-packages|\.whl|\.egg)[/\\]([^/\\.]+)")
_CELERYS: Final = re.compile(
    # Installed or not. An application's own folder may well be called celery, so only files of Celery's own names.
    r"(?:^|[/\\])celery[/\\](?:(?:app[/\\](?:amqp|autoretry|base|builtins|task|trace)|canvas|local|result)\.py$"
    r"|(?:backends|concurrency|worker)[/\\]\w+\.py$)"
    r"|[/\\](?:site|dist)-packages[/\\](?:celery|celeryscope)[/\\]"
    r"|(?:^|[/\\])(?:kombu|billiard|vine)[/\\]"
    r"|[/\\]instrumentation[/\\]celeryscope[/\\]"
)
_SEPARATOR: Final = re.compile(r"[/\\]+")
_MODULE: Final = re.compile(r"[^\W\d]\w*")
_OF_ONE_RELEASE: Final = re.compile(
    r"(?=[a-f]*\d)[0-9a-f]{7,}"  # called like a commit
    r"|(?:build|deploy|deployment|release|rev|revision)_?(?=[a-f]*\d)[0-9a-f_]+"
    r"|_MEI\d+|onefile_\d[\d_]*|tmp(?=[a-z_]*\d)[a-z0-9_]{8}"  # unpacked anew by each process
)
"""A folder of a release, or of a process, is no package."""
_ROOTS: Final = frozenset(
    [
        "app",
        "build",
        "code",
        "current",
        "deploy",
        "dist",
        "home",
        "lib",
        "local",
        "opt",
        "project",
        "python",
        "release",
        "releases",
        "repo",
        "root",
        "service",
        "site",
        "src",
        "srv",
        "task",
        "tmp",
        "usr",
        "var",
        "work",
        "workdir",
        "workspace",
        "www",
    ]
)
"""Folders that hold an application and are no part of its modules' names."""
_SUFFIX: Final = re.compile(r"\.(?:pyc?|pyx|pyd|so)$")
_DIGITS: Final = re.compile(r"\d+")
_PATH_MOST: Final = 1000
"""Characters of a path that are looked at."""


@lru_cache(maxsize=8192)
def is_not_celerys(path: str) -> bool:
    """Whether the file is neither of Celery, kombu, billiard or vine nor generated code."""
    return _CELERYS.search(path[:_PATH_MOST]) is None and not path.startswith("<")


@lru_cache(maxsize=8192)
def is_application(path: str, package: str = "", in_app: InApp = AS_FOUND) -> bool:
    """Whether the file is of the application: not installed, not of the standard library, not generated.

    ``package`` is the application's own, which counts although it is installed.
    """
    path = path[:_PATH_MOST]
    if in_app.exclude and _any_of(in_app.exclude).search(path):
        return False
    if in_app.include and _any_of(in_app.include).search(path):
        return True
    if not is_not_celerys(path):
        return False
    if package and (found := _PACKAGE.findall(path)) and found[-1] == package:
        return True
    return _INSTALLED.search(path) is None and _INSTALLED_ON_WINDOWS.match(path) is None


@lru_cache(maxsize=256)
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all of them, which finds them in paths with either slash."""
    return re.compile("|".join(_expression(pattern) for pattern in patterns))


def _expression(pattern: str) -> str:
    is_module = "/" not in pattern and "\\" not in pattern
    parts = {"*": ".*", "?": ".", "/": r"[/\\]", "\\": r"[/\\]"} | ({".": r"[/\\]"} if is_module else {})
    body = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return rf"(?:^|[/\\]){body}(?:[/\\].*|\.py)?$" if is_module else rf"^{body}$"


def place(frame: Frame) -> str:
    """``module in function``."""
    return f"{module(frame.path)} in {frame.name.rpartition('.')[2]}"


def dotted(path: str) -> str:
    """The whole path as a module's name, e.g. ``srv.app.shop.pay``."""
    return ".".join(part for part in _SEPARATOR.split(_SUFFIX.sub("", path[-_PATH_MOST:])) if part)


@lru_cache(maxsize=8192)
def module(path: str) -> str:
    """The last two parts of the path as a module's name, whatever stands above them; generated code without numbers."""
    if path.startswith("<"):
        return _DIGITS.sub("n", path)
    parts = [part for part in _SEPARATOR.split(path[-_PATH_MOST:]) if part]
    if not parts:
        return path
    parts[-1] = _SUFFIX.sub("", parts[-1])
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    if len(parts) > 1 and _MODULE.fullmatch(above := parts[-2]) and not _OF_ONE_RELEASE.fullmatch(above):
        return parts[-1] if above in _ROOTS else ".".join(parts[-2:])
    return parts[-1]
