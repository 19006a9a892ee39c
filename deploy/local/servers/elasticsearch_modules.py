"""ES|QL for the integration test distribution, which lacks it: a module made from its jars.

Two of its dependencies are published nowhere: h3 (geohex grids) and the machine learning plugin (``CATEGORIZE``). Java
loads classes when they are first needed, so everything else of ES|QL works without them.
"""

from pathlib import Path
from typing import Final

from servers.download import unzip_only_folder

_JARS: Final = (
    "antlr4-runtime",
    "arrow",
    "elasticsearch-dissect",
    "flatbuffers-java",
    "jackson-annotations",
    "jackson-databind",
    "jackson-datatype-jsr310",
    "lucene-spatial3d",
    "x-pack-esql",
    "x-pack-mapper-version",
)
"""How the names of those begin that no other module brings: Elasticsearch refuses to start with a class twice."""

_DESCRIPTOR: Final = """\
name=x-pack-esql
description=ES|QL
version={version}
elasticsearch.version={version}
java.version=17
classname=org.elasticsearch.xpack.esql.plugin.EsqlPlugin
extended.plugins=x-pack-core
"""


def with_esql(downloaded: Path, target: Path) -> None:
    """Unpack the distribution and add the module ``x-pack-esql`` from the jars beside it."""
    unzip_only_folder(downloaded, target)
    (archive,) = downloaded.glob("*.zip")
    module = target / "modules" / "x-pack-esql"
    module.mkdir()
    for jar in downloaded.glob("*.jar"):
        if jar.name.startswith(_JARS):
            jar.rename(module / jar.name)
    version = archive.stem.removeprefix("elasticsearch-")
    (module / "plugin-descriptor.properties").write_text(_DESCRIPTOR.format(version=version))
