"""Whether there may be ``scheme://user:password@`` in an encoded record, JSON or protobuf."""

import re
from typing import Final

# As in celeryscope.redaction, on UTF-8: at least what it finds there is found here.
_USERINFO: Final = re.compile(rb"""://[^\s:/@?#"'<>]*:(?!\d{1,5}[/?#])(?:(?!://)[^\s"'<>])+@""")


def may_be_in(encoded: bytes) -> bool:
    """False promises that ``redact_urls`` changes no text in it. JSON must have its slashes unescaped."""
    # Single characters are looked for ten times as fast as several: between two slashes is an empty part.
    return b"" in encoded.split(b"/")[1:-1] and _USERINFO.search(encoded) is not None
