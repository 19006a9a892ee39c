"""Raises the failures of an application's trees for real, in a process of its own: a job on stdin, results on stdout.

A job is ``{"sentry": bool, "runs": [{"files": {path: source or None}, "root", "site", "call", "eager", "retries"}]}``.
A file below ``lib/`` stands in ``site``, all others in ``root``; what the traceback module shows is what it would show
if they were there. Files with ``sourceless`` have no source to show. A result is ``{"kind", "task", "type", "message",
"stacktrace"}``.
"""

import ast
import importlib
import importlib.abc
import importlib.util
import json
import linecache
import sys
import traceback
import uuid
import warnings
import zlib
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from celery import _state, signals
from celery.app import builtins, trace

from celeryscope import exceptions, semconv
from celeryscope.running import failure_kind

_LIBRARY = "lib/"


class Tree(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from a mapping of paths to sources, as if they stood below ``root`` and ``site``."""

    def __init__(self, run: dict[str, Any]) -> None:
        self._files: dict[str, str] = run["files"]
        self._root, self._site = run["root"], run["site"]
        self._sourceless: list[str] = run.get("sourceless", [])
        self.names: set[str] = set()

    def _path(self, name: str) -> str | None:
        stem = name.replace(".", "/")
        candidates = [f"{prefix}{stem}{end}" for prefix in ("", _LIBRARY) for end in (".py", "/__init__.py")]
        return next((path for path in candidates if path in self._files), None)

    def _is_folder(self, name: str) -> bool:
        stem = name.replace(".", "/") + "/"
        return any(path.removeprefix(_LIBRARY).startswith(stem) for path in self._files)

    def filename(self, path: str) -> str:
        """Where the file of this path would stand."""
        base, rest = (self._site, path.removeprefix(_LIBRARY)) if path.startswith(_LIBRARY) else (self._root, path)
        separator = "\\" if "\\" in base else "/"
        return base + separator + rest.replace("/", separator)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """A module of the tree, before any installed one of that name."""
        if self._path(fullname) is None and not self._is_folder(fullname):
            return None
        self.names.add(fullname)
        spec = ModuleSpec(fullname, self, is_package=self._is_folder(fullname))
        if found := self._path(fullname):
            spec.origin, spec.has_location = self.filename(found), True
        return spec

    def get_source(self, fullname: str) -> str | None:
        """The source, moved down as far as a file of usual length would have it."""
        path = self._path(fullname)
        return None if path is None or path in self._sourceless else self._padded(path)

    def _padded(self, path: str) -> str:
        return "\n" * (zlib.crc32((path + str(len(self._files[path]))).encode()) % 180) + self._files[path]

    def get_code(self, fullname: str) -> CodeType:
        """Compiled under the name that the file would have."""
        path = self._path(fullname)
        if path is None:
            return compile("", f"<{fullname}>", "exec")
        return compile(self._padded(path), self.filename(path), "exec", dont_inherit=True)


def _arguments(call: str) -> tuple[str, list[Any], dict[str, Any]]:
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call), call
    kwargs = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in parsed.keywords}
    return ast.unparse(parsed.func), [ast.literal_eval(value) for value in parsed.args], kwargs


class Watched:
    """What Celery's signals say of the failure of a run, described as celeryscope does."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def __enter__(self) -> "Watched":
        signals.task_failure.connect(self._failed)
        signals.task_retry.connect(self._retried)
        signals.task_postrun.connect(self._ended)
        return self

    def __exit__(self, *_: object) -> None:
        signals.task_failure.disconnect(self._failed)
        signals.task_retry.disconnect(self._retried)
        signals.task_postrun.disconnect(self._ended)

    def _failed(self, sender: Any, einfo: Any, exception: BaseException, **_: Any) -> None:
        # The exception itself, and Celery's text unless it is that of a replacement.
        original = sys.exc_info()[1] or exception
        same = getattr(einfo.exception, "exc", None) is original
        self.found = _described(sender.name, original, einfo.traceback if same else _text(original))

    def _retried(self, sender: Any, reason: Any, **_: Any) -> None:
        self.found = _described(sender.name, reason.exc, _text(reason.exc))

    def _ended(self, sender: Any, state: str, retval: Any, **_: Any) -> None:
        if state == "REJECTED":
            self.found = _described(sender.name, retval, _text(retval)) | {"kind": semconv.KIND_REJECTED}


def _run(run: dict[str, Any]) -> dict[str, Any]:
    assert builtins
    finalizers = set(_state._on_app_finalizers)
    tree = Tree(run)
    sys.meta_path.insert(0, tree)
    try:
        name, args, kwargs = _arguments(run["call"])
        module, _, attribute = name.rpartition(".")
        lazy = getattr(importlib.import_module(module), attribute)
        with Watched() as watched:
            _trace(lazy.app.tasks[lazy.name], run)(args, kwargs)
    finally:
        sys.meta_path.remove(tree)
        # Or the next application would get this one's tasks, which Celery shares among all applications of a process.
        _state._on_app_finalizers = finalizers
        for name in tree.names:
            sys.modules.pop(name, None)
        linecache.clearcache()
    assert watched.found, f"nothing failed: {run['call']}"
    return watched.found


def _trace(task: Any, run: dict[str, Any]) -> Callable[[list[Any], dict[str, Any]], object]:
    if run.get("eager"):
        trace.reset_worker_optimizations(task.app)
        return lambda args, kwargs: task.apply(args, kwargs, throw=False)
    number = str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(run, sort_keys=True)))
    request = {
        "id": number, "retries": run.get("retries", 0), "is_eager": False, "delivery_info": {}, "hostname": "celery@w1",
        "args": (), "kwargs": {}, "root_id": number, "correlation_id": number, "callbacks": None, "errbacks": None,
    }  # fmt: skip
    # A worker does so when it starts, whatever its pool; it shows in the frames of tasks that are called.
    trace._install_stack_protection()
    tracer = trace.build_tracer(task.name, task, app=task.app, propagate=False)
    return lambda args, kwargs: tracer(number, args, kwargs, request)


def _text(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _described(task: str, error: BaseException, text: str) -> dict[str, Any]:
    return {
        "kind": failure_kind(error),
        "task": task,
        "type": exceptions.type_name(type(error)),
        "message": exceptions.message(error),
        "stacktrace": text,
    }


def main() -> None:
    """All runs of the job, in order."""
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    if job["sentry"]:
        import sentry_sdk
        from sentry_sdk.integrations.celery import CeleryIntegration

        sentry_sdk.init(integrations=[CeleryIntegration()], default_integrations=False)
    results = []
    for run in job["runs"]:
        try:
            results.append(_run(run))
        except BaseException as error:
            results.append({"error": _text(error)})
    sys.__stdout__.write("\n@@RESULTS\n" + json.dumps(results))


if __name__ == "__main__":
    main()
