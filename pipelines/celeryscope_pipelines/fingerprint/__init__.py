"""Which failures are the same: from a traceback's text to the key of a failure cluster."""

from celeryscope_pipelines.fingerprint.key import VERSION, Fingerprint, fingerprint_of

__all__ = ["VERSION", "Fingerprint", "fingerprint_of"]
