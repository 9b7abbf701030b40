"""Writes the nodes of a graph in the order that ONNX demands."""

from pathlib import Path


def write_in_order(path: Path) -> bool:
    """Put every node of the model at `path` after those whose results it reads. Return whether one stood before.

    ONNX Runtime's tools leave out what the body of a Loop reads from outside, and put new nodes last. ONNX Runtime
    loads such a file, while ONNX's checker and other runtimes refuse it.
    """
    import onnx
    import onnx_ir as ir

    model = ir.serde.deserialize_model(onnx.load(path))
    before = list(model.graph)
    model.graph.sort()
    if before == list(model.graph):
        return False
    onnx.save(ir.serde.serialize_model(model), path)
    return True
