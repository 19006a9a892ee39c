"""A document as lines of a bulk request."""

from functools import lru_cache

import orjson

from celeryscope_pipelines.writes import Op, Write


def lines_of(write: Write) -> bytes:
    """What to do, and the document, each with its line feed."""
    # Names of indices need no escaping, ids may.
    identity, body = orjson.dumps(write.id), orjson.dumps(write.body)
    if write.op is Op.CREATE:
        return b"%b%b}}\n%b\n" % (_create(write.index), identity, body)
    return b'%b%b,"version":%d}}\n%b\n' % (_index(write.index), identity, write.version, body)


@lru_cache(maxsize=1024)
def _create(index: str) -> bytes:
    # Without its template a data stream would be made as an ordinary index, with mappings by guess.
    return b'{"create":{"_index":%s,"require_data_stream":true,"_id":' % orjson.dumps(index)


@lru_cache(maxsize=1024)
def _index(index: str) -> bytes:
    return b'{"index":{"_index":%s,"version_type":"external","_id":' % orjson.dumps(index)
