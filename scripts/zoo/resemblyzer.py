"""Holds Resemblyzer's voice encoder, written in .ltm, to PyTorch: weights of the published pickle, vectors in every precision.

Run in the root, with a Python that has torch and numpy, once the package's wheel is unpacked into FOLDER:
  python scripts/zoo/resemblyzer.py FOLDER
The pickle is read as it is. It exits with 1 where a vector is beyond its bound.
"""
import pathlib
import subprocess
import sys

import numpy
import torch

import halves
from halves import distance

LTM = ".build/release/ltm"
MODEL = "scripts/zoo/resemblyzer.ltm"
# Norm of the difference over the norm: f64 against f64, the others against f64 too; of halves see halves.py.
BOUNDS = [
    (["--precision", "64"], 1e-12), (["--precision", "32"], 1e-5), (["--precision", "16", "--amp-level", "O1"], None),
    (["--precision", "16", "--amp-level", "O2"], None), (["--precision", "bf16", "--amp-level", "O1"], None),
    (["--precision", "bf16", "--amp-level", "O2"], None),
]


def vectors(weights, mels, dtype=torch.float64):
    """What the package's own `forward` computes."""
    lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
    linear = torch.nn.Linear(256, 256)
    for name, module in [("lstm.", lstm), ("linear.", linear)]:
        module.load_state_dict({k.removeprefix(name): v for k, v in weights.items() if k.startswith(name)})
        module.to(dtype)
    with torch.no_grad():
        _, (hidden, _) = lstm(mels)
        raw = torch.relu(linear(hidden[-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


folder = pathlib.Path(sys.argv[1]) / "resemblyzer"
saved = torch.load(folder / "pretrained.pt", map_location="cpu", weights_only=True)["model_state"]
# The other two are of the loss that it was trained with.
weights = {k: v for k, v in saved.items() if k.startswith(("lstm.", "linear."))}
# Frames of a spectrogram are positive, and most of them small.
mels = torch.from_numpy(numpy.random.default_rng(1).gamma(0.3, 0.05, (4, 160, 40)).astype("f4"))
numpy.save(folder / "mels.npy", mels.numpy())
wanted = vectors(weights, mels.double()).numpy()


def own(dtype, rounded):
    return vectors({k: v.to(rounded).to(dtype) for k, v in weights.items()}, mels.to(rounded).to(dtype), dtype)


failed = False
for flags, bound in BOUNDS:
    output = folder / "vectors.npy"
    subprocess.run(
        [LTM, "run", MODEL, "--weights", folder / "pretrained.pt", "--input", f"mels={folder / 'mels.npy'}",
         "-o", output, *flags], check=True, stdout=subprocess.DEVNULL)
    found = numpy.load(output).astype("f8")
    apart, bound = distance(found, wanted), bound or halves.bound(flags, wanted, own)
    failed |= not apart <= bound
    print(f"{' '.join(flags):32}{apart:10.1e}{bound:10.1e}{'' if apart <= bound else '  BEYOND'}")
sys.exit(failed)
