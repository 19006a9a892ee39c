"""The alert watcher: evaluates the rules of ``celeryscope.service.rules``, keeps alerts, tells people of them."""

from celeryscope_pipelines.watcher.alerts import Alert, Change
from celeryscope_pipelines.watcher.evaluation import Finding, evaluate
from celeryscope_pipelines.watcher.watcher import Watcher

__all__ = ["Alert", "Change", "Finding", "Watcher", "evaluate"]
