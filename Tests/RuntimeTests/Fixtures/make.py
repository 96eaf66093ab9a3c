"""Writes the fixtures beside it with the libraries whose files the runtime must read (torch, numpy, safetensors)."""
import pathlib
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent

save_file(
    {
        "fc1.weight": torch.tensor([[1.5, -2.0, 3.25], [0.0, 1e-3, -65504.0]]),
        "fc1.bias": torch.tensor([0.5, -0.25], dtype=torch.float16),
        "norm.weight": torch.tensor([1.0, -3.0e38, 2.0**-100], dtype=torch.bfloat16),
        "steps": torch.tensor(2**40 + 1),
        "mask": torch.tensor([True, False, True]),
        "wide": torch.tensor([0.1], dtype=torch.float64),
        "labels": torch.tensor([7, -7], dtype=torch.int32),
        "pixels": torch.tensor([[0, 255]], dtype=torch.uint8),
    },
    here / "torch.safetensors",
    metadata={"format": "pt"},
)

cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8
arrays = {
    "f4": cube,
    "fortran": np.asfortranarray(cube),
    "big": cube.astype(">f8"),
    "f2": cube.astype("<f2"),
    "i8": np.array([2**40 + 1, -1]),
    "bigint": np.array([1, -2, 70000], dtype=">i4"),
    "u1": np.arange(5, dtype=np.uint8),
    "b1": np.array([True, False]),
    "scalar": np.float64(2.5),
    "empty": np.zeros((0, 3), np.float32),
    "long": (np.arange(3000, dtype=np.int32) ** 2) % 251,
}
np.savez(here / "stored.npz", **{k: v for k, v in arrays.items() if k != "long"})
np.savez_compressed(here / "packed.npz", **arrays)
with zipfile.ZipFile(here / "level0.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=0) as archive:
    with archive.open("f4.npy", "w") as member:
        np.save(member, cube)
for version in [(1, 0), (2, 0), (3, 0)]:
    with open(here / f"v{version[0]}.npy", "wb") as file:
        np.lib.format.write_array(file, cube, version=version)

# Bytes that come again 20,300 places later, and many zeros: the longest matches and the farthest of deflate.
state, noise = 1, []
for _ in range(300):
    state = (state * 1_103_515_245 + 12_345) % 2**31
    noise.append(state >> 16 & 255)
np.savez_compressed(here / "far.npz", a=np.array(noise + [0] * 20_000 + noise, np.uint8))
