"""Which failures are the same: from a traceback's text to the key of a failure cluster.

``plain`` takes a traceback out of a log's lines, ``traceback`` reads it as the ``model``, ``places`` says whose code a
frame is, ``chain`` which exception made the failure and where, ``message`` and ``wording`` what a message says,
``title`` what a failure is called, ``key`` makes the fingerprint, ``rules`` are the users' own.
"""

from celeryscope_pipelines.fingerprint.key import VERSION, Fingerprint, fingerprint_of
from celeryscope_pipelines.fingerprint.rules import NO_RULES, FailureRules

__all__ = ["NO_RULES", "VERSION", "FailureRules", "Fingerprint", "fingerprint_of"]
