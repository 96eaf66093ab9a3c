"""Writes fixtures of control flow into Tests/ONNXTests/Fixtures/nodes: what ONNX's own node tests hold no plain case of, with what
ONNX Runtime gives.

  python scripts/onnx/control.py      (in the root, with onnx, onnxruntime, numpy and safetensors)
"""
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def loop():
    """Four rounds, of which each adds its number and a tensor from outside, and gives the sum so far; the third is the last."""
    body = helper.make_graph(
        [
            helper.make_node("Cast", ["i"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["sum", "x"], ["more"]),
            helper.make_node("Add", ["more", "number"], ["next"]),
            helper.make_node("Less", ["i", "two"], ["again"]),
            helper.make_node("Mul", ["next", "next"], ["row"]),
        ],
        "body",
        [value("i", [], TensorProto.INT64), value("goes", [], TensorProto.BOOL), value("sum", [2, 3])],
        [value("again", [], TensorProto.BOOL), value("next", [2, 3]), value("row", [2, 3])],
    )
    node = helper.make_node("Loop", ["rounds", "", "x"], ["y", "rows"], body=body)
    tensors = [constant("rounds", np.int64(4)), constant("two", np.int64(2))]
    return [node], tensors, [value("y", [2, 3]), value("rows", [3, 2, 3])]


def branch(name, op):
    return helper.make_graph([helper.make_node(op, ["x"], [name + "y"])], name, [], [value(name + "y", [2, 3])])


def undecided():
    """A branch that the sum of the input decides."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("yes", "Exp"), else_branch=branch("no", "Neg")),
    ]
    return nodes, [constant("zero", np.float32(0))], [value("y", [2, 3])]


def scan():
    """Along the second axis, backwards, the rows beside one another in the order in which they were made."""
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "column"], ["next"]), helper.make_node("Tanh", ["next"], ["row"])],
        "body", [value("state", [2]), value("column", [2])], [value("next", [2]), value("row", [2])],
    )
    node = helper.make_node(
        "Scan", ["start", "x"], ["last", "y"], body=body, num_scan_inputs=1, scan_input_axes=[1],
        scan_input_directions=[1], scan_output_axes=[1],
    )
    return [node], [constant("start", np.zeros(2, np.float32))], [value("last", [2]), value("y", [2, 3])]


folder = pathlib.Path("Tests/ONNXTests/Fixtures/nodes")
for name, (nodes, tensors, outputs) in {"control_loop": loop(), "control_if": undecided(), "control_scan": scan()}.items():
    graph = helper.make_graph(nodes, name, [value("x", [2, 3])], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    onnx.save(model, place / "model.onnx")
    x = np.array([[0.5, -1, 0.25], [1.5, 0.125, -2]], np.float32)
    found = onnxruntime.InferenceSession(str(place / "model.onnx")).run(None, {"x": x})
    save_file(
        {"input_0": x, **{f"output_{i}": np.ascontiguousarray(array) for i, array in enumerate(found)}},
        place / "data.safetensors",
    )
