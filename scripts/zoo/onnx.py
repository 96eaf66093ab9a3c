"""Holds ONNX models of the zoo, imported by `ltm import`, to ONNX Runtime: the same file, the same real inputs; f32, f16 and bf16.

Run in the root, with a Python that has onnx, onnxruntime and numpy, once the wheels are unpacked into FOLDER:
  python scripts/zoo/onnx.py FOLDER [LEVEL]
It exits with 1 where a result is further than 1e-5 of the largest from ONNX Runtime's; the text detector's last sigmoid takes
numbers up to 128, whose last digits are ten times as much, and it is held to 1e-4. In f16 and bf16 the bound is twice the error of ONNX
Runtime's own half run, or, where it has none, of wide arithmetic on weights and inputs that are rounded once; LEVEL is O1 where it is left out. Of what magika says of a hundred files the kinds are compared too.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime

LTM = ".build/release/ltm"
LEVEL = sys.argv[2] if len(sys.argv) > 2 else "O1"
BOUND = 1e-5
BOUNDS = {"pp-ocr-det": 1e-4}


def bytes_of(path):
    """What magika reads of a file: 1024 bytes of its head and of its tail, without the space around, 256 where there is none."""
    content = path.read_bytes()
    head, tail = content[:4096].strip()[:1024], content[-4096:].strip()[-1024:]
    row = np.full(2048, 256, "i4")
    row[:len(head)] = list(head)
    row[2048 - len(tail):] = list(tail)
    return row


def speech(frames):
    """A voice-like sound: a buzz of changing pitch with pauses, in frames of 512 samples behind 64 of the frame before."""
    time = np.arange(frames * 512 + 64) / 16000
    tone = sum(np.sin(2 * np.pi * n * (120 + 30 * np.sin(3 * time)) * time) / n for n in range(1, 12))
    sound = (0.1 * tone * (np.sin(2 * np.pi * time) > -0.3)).astype("f4")
    return np.stack([sound[i * 512:i * 512 + 576] for i in range(frames)])


def line(width):
    """A picture that stands for a line of text: strokes on paper."""
    random = np.random.default_rng(1)
    picture = np.ones((1, 3, 48, width), "f4")
    for x in range(8, width - 8, 12):
        picture[:, :, random.integers(6, 20):random.integers(26, 42), x:x + 3] = -1
        picture[:, :, 20:23, x:x + 9] = -0.8
    return picture


def sources(count):
    return sorted(p for p in pathlib.Path("Sources").rglob("*.swift"))[:count - 3] + [
        pathlib.Path(p) for p in ("README.md", "Makefile", "LICENSE")]


def cases(folder):
    models = folder / "rapidocr-onnxruntime" / "rapidocr_onnxruntime" / "models"
    yield "magika", folder / "magika/magika/models/standard_v3_3/model.onnx", [], {
        "bytes": np.stack([bytes_of(p) for p in sources(100)])}
    yield "pp-ocr-rec", models / "ch_PP-OCRv4_rec_infer.onnx", ["--dim", "D2=48"], {"x": line(320)}
    yield "pp-ocr-cls", models / "ch_ppocr_mobile_v2.0_cls_infer.onnx", [], {"x": line(192)}
    yield "pp-ocr-det", models / "ch_PP-OCRv4_det_infer.onnx", ["--dim", "D2=96", "--dim", "D3=320"], {
        "x": np.concatenate([line(320)] * 2, axis=2)}
    yield "silero-vad", folder / "silero-vad/silero_vad/data/silero_vad_16k_sequence.onnx", [], {
        "input": speech(40), "h": np.zeros((1, 1, 128), "f4"), "c": np.zeros((1, 1, 128), "f4")}


def ltm(*arguments):
    return subprocess.run([LTM, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def rounded(array, dtype):
    """An array of floats with the digits of a half."""
    if array.dtype != np.float32 or dtype == "32":
        return array
    if dtype == "16":
        return array.astype(np.float16).astype(np.float32)
    bits = array.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32).reshape(array.shape)


def reference(model, inputs, dtype):
    """What ONNX Runtime gives for weights and inputs that are rounded once."""
    proto = onnx.load(model)
    tensors = list(proto.graph.initializer)
    tensors += [a.t for node in proto.graph.node if node.op_type == "Constant" for a in node.attribute if a.HasField("t")]
    for tensor in tensors:
        if tensor.data_type == onnx.TensorProto.FLOAT and dtype != "32":
            array = rounded(onnx.numpy_helper.to_array(tensor), dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: rounded(array, dtype) for name, array in inputs.items()})


def own_half(model, inputs):
    """ONNX Runtime's own half run, where its converter makes a file that it takes."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        proto = convert_float_to_float16(onnx.load(model), keep_io_types=True)
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, inputs)
    except Exception:
        return None


def imported(place, model, flags, inputs):
    """The flags that run the imported model on the inputs."""
    target = place / "model.ltm"
    told = json.loads(ltm("import", model, "-o", target, "--json", *flags))
    ltm("check", target)
    given = []
    for name, value in inputs.items():
        np.save(place / f"{told['inputs'][name]}.npy", value)
        given += ["--input", f"{told['inputs'][name]}={place / (told['inputs'][name] + '.npy')}"]
    return [target, "--weights", told["weights"], *given]


def results(place, run, dtype):
    path = place / f"results-{dtype}.safetensors"
    ltm("run", *run, "-o", path, "--precision", dtype, *([] if dtype == "32" else ["--amp-level", LEVEL]))
    found = {}
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    for name, told in header.items():
        if name == "__metadata__":
            continue
        part = data[told["data_offsets"][0]:told["data_offsets"][1]]
        if told["dtype"] == "BF16":
            array = (np.frombuffer(part, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            array = np.frombuffer(part, {"F16": "f2", "F32": "f4", "F64": "f8"}.get(told["dtype"], "f4"))
        found[name] = array.astype("f8").reshape(told["shape"])
    return [found["result"]] if "result" in found else [found[f"result.{i}"] for i in range(len(found))]


def distance(found, wanted):
    return max(float(np.abs(f - w).max() / np.abs(w).max()) for f, w in zip(found, wanted))


failed = False
print(f"{'model':12}{'dtype':>6}{'error':>10}{'bound':>10}")
for name, model, flags, inputs in cases(pathlib.Path(sys.argv[1])):
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        run = imported(place, model, flags, inputs)
        wanted = reference(model, inputs, "32")
        for dtype in ("32", "16", "bf16"):
            found = results(place, run, dtype)
            largest = distance(found, wanted)
            own = own_half(model, inputs) if dtype == "16" else None
            bound = BOUNDS.get(name, BOUND) if dtype == "32" else 2 * distance(own or reference(model, inputs, dtype), wanted)
            failed |= not largest <= bound
            kinds = ""
            if name == "magika":
                same = (np.argmax(found[0], -1) == np.argmax(wanted[0], -1)).sum()
                kinds = f"  {same} of {len(wanted[0])} kinds"
                failed |= same < len(wanted[0])
            print(f"{name:12}{dtype:>6}{largest:10.1e}{bound:10.1e}{'' if largest <= bound else '  BEYOND'}{kinds}", flush=True)
sys.exit(failed)
