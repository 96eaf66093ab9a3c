"""Parses, verifies and, unless told otherwise, evaluates StableHLO modules in the reference interpreter.

Reads {"cases": [{"name", "module", "run", "replicas", "inputs": [{"dtype", "shape", "data"}]}]} from standard input, data in
base64, and writes the same with "outputs" or "error". A case of several replicas has the inputs of each, one after the
other, and gives the outputs so; the replicas run together and exchange values. The work is done in child processes, since the interpreter aborts on what it
lacks: some cases to a child, and one to a child where one of some has died.
"""
import base64
import json
import os
import sys

os.environ["JAX_PLATFORMS"] = "cpu"
import ml_dtypes
import numpy as np
from jax._src.interpreters import mlir
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

DTYPES = {
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64, "i32": np.int32,
    "i64": np.int64, "u8": np.uint8, "bool": np.bool_,
}
NAMES = {"f16": "f16", "bf16": "bf16", "f32": "f32", "f64": "f64", "i32": "i32", "i64": "i64", "ui8": "u8", "i1": "bool"}


def attribute(value):
    array = np.frombuffer(base64.b64decode(value["data"]), DTYPES[value["dtype"]]).reshape(value["shape"])
    if value["dtype"] == "bf16":
        return ir.DenseElementsAttr.get(array.view(np.uint16), type=ir.BF16Type.get(), shape=array.shape)
    if value["dtype"] == "u8":
        return ir.DenseElementsAttr.get(array, type=ir.IntegerType.get_unsigned(8), shape=array.shape)
    if value["dtype"] == "bool":
        kind = ir.RankedTensorType.get(array.shape, ir.IntegerType.get_signless(1))
        return ir.DenseElementsAttr.get([ir.BoolAttr.get(bool(x)) for x in array.flat], kind)
    return ir.DenseElementsAttr.get(array)


def widen_results(module):
    """Makes bf16 results f32, which numpy can read; gives the element type that each had."""
    main = next(f for f in module.body.operations if f.attributes["sym_name"].value == "main")
    end = main.regions[0].blocks[0].operations[len(main.regions[0].blocks[0].operations) - 1]
    names = []
    with ir.InsertionPoint(end):
        for index, operand in enumerate(end.operands):
            kind = ir.RankedTensorType(operand.type)
            names.append(NAMES[str(kind.element_type)])
            if names[-1] == "bf16":
                wide = ir.RankedTensorType.get(kind.shape, ir.F32Type.get())
                end.operands[index] = stablehlo.convert(wide, operand)
    inputs = [argument.type for argument in main.regions[0].blocks[0].arguments]
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, [x.type for x in end.operands]))
    return names


def joined(text, replicas):
    """A module whose main runs so many replicas of the one given together."""
    main = ir.Module.parse(text).body.operations[0]
    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    inputs, results = list(kind.inputs) * replicas, list(kind.results) * replicas
    names = ", ".join(f"%x{i}" for i in range(len(inputs)))
    parameters = ", ".join(f"%x{i}: {kind}" for i, kind in enumerate(inputs))
    given, made = ", ".join(map(str, inputs)), ", ".join(map(str, results))
    grid = ", ".join(["[@replica]"] * replicas)
    outputs = ", ".join(f"%r#{i}" for i in range(len(results)))
    main = f"""
  func.func public @main({parameters}) -> ({made}) {{
    %r:{len(results)} = "interpreter.run_parallel"({names}) {{programs = [{grid}]}} : ({given}) -> ({made})
    return {outputs} : {made}
  }}
"""
    end = text.rindex("}")
    return text[:end].replace("@main(", "@replica(", 1) + main + text[end:]


def evaluated(case):
    module = ir.Module.parse(case["module"])
    if not module.operation.verify():
        raise ValueError("the module does not verify")
    if not case["run"]:
        return []
    if case["replicas"] > 1:
        stablehlo.register_interpreter_dialect(ir.Context.current)
        module = ir.Module.parse(joined(case["module"], case["replicas"]))
    names = widen_results(module)
    results = stablehlo.eval_module(module, [attribute(value) for value in case["inputs"]])
    outputs = []
    for name, result in zip(names, results):
        array = np.array(result).astype(DTYPES[name])
        outputs.append({"dtype": name, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode()})
    return outputs


def answer(case):
    try:
        return {"name": case["name"], "outputs": evaluated(case)}
    except Exception as error:
        return {"name": case["name"], "error": f"{type(error).__name__}: {error}"}


def in_a_child(cases):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with mlir.make_ir_context(), ir.Location.unknown(), os.fdopen(writing, "w") as pipe:
            json.dump([answer(case) for case in cases], pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    if text:
        return json.loads(text)
    if len(cases) > 1:
        return [result for case in cases for result in in_a_child([case])]
    return [{"name": cases[0]["name"], "error": f"the interpreter died with status {status}"}]


CASES = json.load(sys.stdin)["cases"]
json.dump([result for start in range(0, len(CASES), 50) for result in in_a_child(CASES[start:start + 50])], sys.stdout)
