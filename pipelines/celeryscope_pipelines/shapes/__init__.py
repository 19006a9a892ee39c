"""Documents of records that are written like one that was seen before, without parsing them; see ``Shapes``.

``marks`` a record with marks in place of its values, ``shape`` what follows from it: the pattern of texts that are
written alike, and the form of their document; ``cut`` a message into the texts of its records.
"""

from celeryscope_pipelines.shapes.shape import SHAPES_OF_PROCESS, Shapes

__all__ = ["SHAPES_OF_PROCESS", "Shapes"]
