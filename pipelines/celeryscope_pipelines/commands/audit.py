"""``celeryscope audit``: the former name of ``celeryscope account``, kept for scripts."""

from copy import copy

from celeryscope_pipelines.commands.account import account

audit = copy(account)
audit.name, audit.short_help = "audit", "The former name of `celeryscope account`."
