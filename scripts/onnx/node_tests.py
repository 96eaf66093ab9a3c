"""Writes ONNX's backend node tests as files, and which of them ONNX Runtime's CPU passes.

Run with a Python that has onnx, onnxruntime, numpy and safetensors:
  python scripts/onnx/node_tests.py FOLDER
Each test becomes FOLDER/NAME/model.onnx and data.safetensors, with input_0, input_1, ... and output_0, ...; the integers that
ltm has no dtype for are widened to the next one that it has. FOLDER/runtime.json says of each test which operator it is for,
and whether ONNX Runtime passes it. `LTM_ONNX_NODES=FOLDER swift test -c release --filter NodeTests` runs ours, and
`python scripts/onnx/count.py FOLDER` counts both by operator.
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)
WIDER = {"int8": "i4", "int16": "i4", "uint16": "i4", "uint32": "i8", "uint64": "i8"}
KEPT = {"float64", "float32", "float16", "int64", "int32", "uint8", "bool"}


def array(value):
    """The tensor as numpy has it; None for sequences, texts and the like."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    value = np.asarray(value) if not isinstance(value, (list, type(None))) else None
    return value if value is not None and value.dtype.kind not in "OUS" else None


def widened(value):
    """The tensor in a dtype that ltm has; None where there is none."""
    name = value.dtype.name
    if name in KEPT:
        return np.array(value, order="C")
    return np.array(value.astype(WIDER[name]), order="C") if name in WIDER else None


def is_close(found, wanted, rtol, atol):
    if not isinstance(found, np.ndarray) or wanted is None:
        return False
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return False
    if found.dtype.kind in "biu":
        return bool((found == wanted).all())
    return bool(np.allclose(found.astype("f8"), wanted.astype("f8"), rtol=rtol, atol=atol, equal_nan=True))


def runtime_passes(case):
    """Whether ONNX Runtime's CPU gives what the test asks for."""
    try:
        session = onnxruntime.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"])
        for inputs, outputs in case.data_sets:
            names = [i.name for i in session.get_inputs()]
            given = {n: numpy_helper.to_array(v) if isinstance(v, onnx.TensorProto) else v for n, v in zip(names, inputs)}
            found = session.run(None, given)
            if not all(is_close(f, array(w), case.rtol, max(case.atol, 1e-6)) for f, w in zip(found, outputs)):
                return False
        return True
    except Exception:  # what it cannot run it does not pass
        return False


def main(folder):
    from onnx.backend.test.case.node import collect_testcases

    counted = {}
    for case in collect_testcases(None):
        nodes = [n.op_type for n in case.model.graph.node]
        place = folder / case.name
        place.mkdir(parents=True, exist_ok=True)
        onnx.save(case.model, place / "model.onnx")
        inputs, outputs = case.data_sets[0]
        tensors = {}
        for kind, values in (("input", inputs), ("output", outputs)):
            for index, value in enumerate(values):
                found = array(value)
                found = None if found is None else widened(found)
                if found is not None:
                    tensors[f"{kind}_{index}"] = found
        save_file(tensors or {"none": np.zeros(1, "f4")}, place / "data.safetensors")
        counted[case.name] = {
            "op": nodes[0] if len(nodes) == 1 else case.name.split("_")[1], "expanded": "_expanded" in case.name,
            "runtime": runtime_passes(case), "rtol": case.rtol, "atol": case.atol,
        }
    (folder / "runtime.json").write_text(json.dumps(counted, indent=0))
    print(len(counted), "tests;", sum(c["runtime"] for c in counted.values()), "pass in ONNX Runtime")


main(pathlib.Path(sys.argv[1]))
