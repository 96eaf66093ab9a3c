"""What three packages do with their models, done by ltm in the model's place: magika names the kinds of a hundred files, PP-OCR reads rendered
lines, silero finds speech in a wave file that espeak-ng spoke. The packages' own code prepares the inputs and reads the outputs.

Run in the root, with a Python that has magika, rapidocr-onnxruntime, silero-vad, pillow, safetensors and numpy, and with espeak-ng installed:
  python scripts/zoo/packages.py [PRECISION]
PRECISION is 32 (left out), 16 or bf16. It exits with 1 where a kind, a line or a frame is another one than the package's own run gives; in bf16,
whose 8 digits decide close calls otherwise, it only says so.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import wave

import numpy as np
from safetensors.torch import load_file

LTM = ".build/release/ltm"
PRECISION = sys.argv[1] if len(sys.argv) > 1 else "32"
LEVEL = [] if PRECISION == "32" else ["--amp-level", "O1"]
failed = False


def check(ok, text):
    global failed
    failed |= not ok and PRECISION != "bf16"
    print(("ok    " if ok else "other " if PRECISION == "bf16" else "FAIL  ") + text, flush=True)


class Imported:
    """An ONNX file, imported, and run by ltm on arrays."""

    def __init__(self, folder, model, *flags):
        self.folder = folder
        self.target = folder / (pathlib.Path(model).stem + ".ltm")
        told = subprocess.run([LTM, "import", model, "-o", self.target, "--json", *flags], check=True, capture_output=True, text=True)
        self.told = json.loads(told.stdout)

    def __call__(self, **inputs):
        given = []
        for name, value in inputs.items():
            path = self.folder / f"{self.told['inputs'][name]}.npy"
            np.save(path, value)
            given += ["--input", f"{self.told['inputs'][name]}={path}"]
        output = self.folder / "results.safetensors"
        subprocess.run([LTM, "run", self.target, "--weights", self.told["weights"], *given, "-o", output, "--precision", PRECISION, *LEVEL],
                       check=True, capture_output=True)
        return {name: value.float().numpy() for name, value in load_file(output).items()}


def kinds(folder):
    """The package is asked by its own code; its session is given ours to run."""
    import magika

    files = [p for p in sorted(pathlib.Path(".").rglob("*")) if p.is_file() and not {".git", ".build"} & set(p.parts) and p.stat().st_size > 8]
    files = files[::max(1, len(files) // 100)][:100]
    own = magika.Magika()
    theirs = [own.identify_path(p).dl.label for p in files]
    model = Imported(folder, pathlib.Path(magika.__file__).parent / "models/standard_v3_3/model.onnx")
    name = own._onnx_session.get_inputs()[0].name

    class Session:
        def run(self, outputs, inputs):
            return list(model(**{name: np.array(inputs[name], "i4")}).values())

    own._onnx_session = Session()
    ours = [result.dl.label for result in own.identify_paths(files)]
    same = sum(a == b for a, b in zip(ours, theirs))
    check(same == len(files) == 100, f"magika: {same} of {len(files)} files are of the same kind, {len(set(theirs))} kinds in all")


LINES = ["Everything that page promises", "The quick brown fox, 1234567890", "loss scale: 65536.0 (dynamic)", "half the memory, three times the speed"]


def lines(folder):
    from PIL import Image, ImageDraw, ImageFont
    import rapidocr_onnxruntime
    from rapidocr_onnxruntime import RapidOCR

    package = pathlib.Path(rapidocr_onnxruntime.__file__).parent
    reader = RapidOCR().text_rec
    font = ImageFont.truetype("DejaVuSans.ttf", 30)
    pictures = []
    for text in LINES:
        left, top, right, bottom = font.getbbox(text)
        picture = Image.new("RGB", (right + 20, 48), "white")
        ImageDraw.Draw(picture).text((10, 4), text, font=font, fill="black")
        pictures.append(np.array(picture)[:, :, ::-1])
    theirs = [reader([picture])[0][0] for picture in pictures]
    model = Imported(folder, package / "models/ch_PP-OCRv4_rec_infer.onnx", "--dim", "D2=48")
    reader.session = lambda images: [next(iter(model(x=images).values()))]
    ours = [reader([picture])[0][0] for picture in pictures]
    for text, mine, other in zip(LINES, ours, theirs):
        check(mine[0] == other[0], f"PP-OCR reads '{mine[0]}' ({mine[1]:.3f}), the package '{other[0]}' ({other[1]:.3f}), rendered was '{text}'")


def speech(folder):
    import silero_vad
    import torch

    spoken = folder / "speech.wav"
    subprocess.run(["espeak-ng", "-w", spoken, "-g", "40", "A compiled tensor language.   It trains in sixteen bits, <break time='800ms'/> and it runs.", "-m"], check=True)
    with wave.open(str(spoken)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2").astype("f4") / 32768
    samples = np.interp(np.arange(0, len(samples), rate / 16000), np.arange(len(samples)), samples).astype("f4")
    samples = np.concatenate([np.zeros(8000, "f4"), samples, np.zeros(8000, "f4")])
    samples = np.pad(samples, (0, -len(samples) % 512))
    theirs = silero_vad.get_speech_timestamps(torch.from_numpy(samples), silero_vad.load_silero_vad())
    behind = np.concatenate([np.zeros(64, "f4"), samples])
    frames = np.stack([behind[start:start + 576] for start in range(0, len(samples), 512)])
    model = Imported(folder, pathlib.Path(silero_vad.__file__).parent / "data/silero_vad_16k_sequence.onnx")
    empty = np.zeros((1, 1, 128), "f4")
    results = model(input=frames, h=empty, c=empty)
    chances = next(value for value in results.values() if value.size == len(frames)).reshape(-1)

    class Told:
        """The model's probabilities, frame after frame."""

        def reset_states(self):
            self.frame = 0

        def __call__(self, chunk, rate):
            self.frame += 1
            return torch.tensor([chances[self.frame - 1]])

    ours = silero_vad.get_speech_timestamps(torch.from_numpy(samples), Told())
    check(ours == theirs and len(theirs) > 1, f"silero: {len(frames)} frames, speech at {[(t['start'], t['end']) for t in ours]}, by the package at {[(t['start'], t['end']) for t in theirs]}")


for task in (kinds, lines, speech):
    with tempfile.TemporaryDirectory() as place:
        task(pathlib.Path(place))
sys.exit(failed)
