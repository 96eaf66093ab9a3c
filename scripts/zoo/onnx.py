"""Holds ONNX models of the zoo, imported by `ltm import`, to ONNX Runtime: the same file, the same real inputs, f32.

Run in the root, with a Python that has onnxruntime, numpy and safetensors, once the wheels are unpacked into FOLDER:
  python scripts/zoo/onnx.py FOLDER
It exits with 1 where a result is further than 1e-5 of the largest from ONNX Runtime's; the text detector's last sigmoid takes
numbers up to 128, whose last digits are ten times as much, and it is held to 1e-4.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

LTM = ".build/release/ltm"
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


def distances(place, model, flags, inputs):
    """The largest difference of each result over its largest element."""
    target = place / "model.ltm"
    told = json.loads(ltm("import", model, "-o", target, "--json", *flags))
    ltm("check", target)
    given = []
    for name, value in inputs.items():
        np.save(place / f"{told['inputs'][name]}.npy", value)
        given += ["--input", f"{told['inputs'][name]}={place / (told['inputs'][name] + '.npy')}"]
    ltm("run", target, "--weights", told["weights"], *given, "-o", place / "results.safetensors")
    found = load_file(place / "results.safetensors")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    wanted = session.run(None, inputs)
    names = ["result"] if len(wanted) == 1 else [f"result.{i}" for i in range(len(wanted))]
    return [float(np.abs(found[n] - w).max() / np.abs(w).max()) for n, w in zip(names, wanted)]


failed = False
for name, model, flags, inputs in cases(pathlib.Path(sys.argv[1])):
    with tempfile.TemporaryDirectory() as place:
        largest = max(distances(pathlib.Path(place), model, flags, inputs))
    bound = BOUNDS.get(name, BOUND)
    failed |= not largest <= bound
    print(f"{name:12}{largest:10.1e}{bound:10.0e}{'' if largest <= bound else '  BEYOND'}")
sys.exit(failed)
