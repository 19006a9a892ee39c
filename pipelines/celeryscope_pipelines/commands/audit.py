"""``celeryscope audit``: the former name of ``celeryscope account``, kept for scripts and not listed."""

from copy import copy

from celeryscope_pipelines.commands.account import account

audit = copy(account)
audit.name, audit.hidden = "audit", True
