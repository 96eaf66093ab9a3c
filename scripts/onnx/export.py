"""Exports every sample at every precision and level, and holds the files to ONNX's checker and to ONNX Runtime.

    python scripts/onnx/export.py [path of ltm]

Needs onnx, onnxruntime and numpy. Prints a table: the largest difference to `ltm run` of the same model at the same level, over
the largest element. ONNX Runtime's CPU has no kernels for bf16: those files are run by ONNX's own reference evaluator.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

LTM = sys.argv[1] if len(sys.argv) > 1 else ".build/release/ltm"
SAMPLES = ["digits", "cnn", "gpt", "lstm", "mlp", "norm", "tour"]
LEVELS = [("32", None), ("16", "O1"), ("16", "O2"), ("16", "O3"), ("bf16", "O1"), ("bf16", "O2"), ("bf16", "O3")]
# The checker in a process of its own: it does not share one with ONNX Runtime everywhere.
CHECK = "import onnx, sys; onnx.checker.check_model(sys.argv[1], full_check=True)"


def flags(precision, level):
    return ["--precision", precision] + (["--amp-level", level] if level else [])


def ltm(*arguments):
    return subprocess.run([LTM, *arguments], capture_output=True, text=True)


def load(path):
    """The first tensor of a safetensors file as f64; NumPy has no bf16, which is the upper half of an f32."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    told = next(told for name, told in header.items() if name != "__metadata__")
    data = data[told["data_offsets"][0]:told["data_offsets"][1]]
    if told["dtype"] == "BF16":
        array = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        array = np.frombuffer(data, {"F16": np.float16, "F32": np.float32, "F64": np.float64}[told["dtype"]])
    return array.astype(np.float64).reshape(told["shape"])


def feeds(graph, rows):
    """Random inputs by name: floats, or small integers for indices; every symbolic dimension has one size."""
    made, seed = {}, np.random.default_rng(0)
    for given in graph.input:
        tensor = given.type.tensor_type
        shape = [dim.dim_value or rows for dim in tensor.shape.dim]
        dtype = {1: np.float32, 10: np.float16, 16: np.float32, 6: np.int32, 7: np.int64}[tensor.elem_type]
        floats = tensor.elem_type in (1, 10, 16)
        made[given.name] = (seed.standard_normal(shape) if floats else seed.integers(0, 8, shape)).astype(dtype)
    return made


def run(path, rows, folder, precision):
    """Runs a file on random inputs, which are left in the folder beside what it gives."""
    import onnx

    model = onnx.load(path)
    inputs = feeds(model.graph, rows)
    for name, array in inputs.items():
        np.save(os.path.join(folder, f"in.{name}.npy"), array)
    if precision == "bf16":
        import ml_dtypes
        import onnx.reference

        halves = {given.name for given in model.graph.input if given.type.tensor_type.elem_type == 16}
        inputs = {name: array.astype(ml_dtypes.bfloat16) if name in halves else array for name, array in inputs.items()}
        found = onnx.reference.ReferenceEvaluator(model).run(None, inputs)[0]
    else:
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        found = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, inputs)[0]
    np.save(os.path.join(folder, "found.npy"), found.astype(np.float64))


def compare(sample, precision, level, folder):
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    file, path = f"samples/{sample}.ltm", os.path.join(folder, "model.onnx")
    made = ltm("export", file, "--onnx", path, "--force", *flags(precision, level))
    if made.returncode:
        return "not exported: " + made.stderr.strip().splitlines()[0]
    checked = subprocess.run([sys.executable, "-c", CHECK, path], capture_output=True, text=True)
    if checked.returncode:
        return "not accepted: " + (checked.stderr.strip().splitlines() or ["crashed"])[-1]
    worst = 0.0
    for rows in (3, 5):
        # In a process of its own as well: a crash there is a line here.
        command = [sys.executable, __file__, "--run", path, str(rows), folder, precision]
        ran = subprocess.run(command, capture_output=True, text=True)
        if ran.returncode:
            return "accepted, not run: " + (ran.stderr.strip().splitlines() or ["crashed"])[-1][:90]
        inputs = [name[3:-4] for name in sorted(os.listdir(folder)) if name.startswith("in.")]
        arguments = []
        for name in inputs:
            arguments += ["--input", f"{name}={folder}/in.{name}.npy"]
        out = os.path.join(folder, "y.safetensors")
        ran = ltm("run", file, "-o", out, *arguments, *flags(precision, level))
        if ran.returncode:
            return "not run by ltm: " + ran.stderr.strip().splitlines()[0]
        wanted = load(out)
        found = np.load(os.path.join(folder, "found.npy"))
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    return f"{worst:.1e}"


def main():
    print("| sample | precision | level | difference |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for sample in SAMPLES:
            for precision, level in LEVELS:
                print(f"| {sample} | {precision} | {level or 'O0'} | {compare(sample, precision, level, folder)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        run(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        main()
