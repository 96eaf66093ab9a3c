"""Small images of every kind, and what PyTorch makes of them in another size. Needs pillow and torch.

    python3 scripts/reference/images.py Tests/EndToEndTests/Fixtures/images
"""

import json
import os
import struct
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

folder = sys.argv[1]
random = np.random.default_rng(3)


def smooth(height, width):
    place = np.add.outer(np.arange(height) * 9, np.arange(width) * 13)
    return np.stack([place % 256, 255 - place % 256, (2 * place) % 256], -1).astype(np.uint8)


def noise(*shape):
    return random.integers(0, 256, shape, dtype=np.uint8)


def png(path, pixels, depth, interlaced):
    """A PNG of red, green and blue as pillow does not write it."""
    height, width, _ = pixels.shape
    wide = (pixels.astype(">u2") * 257) if depth == 16 else pixels
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, down, across in passes if interlaced else [(0, 0, 1, 1)]:
        part = wide[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part if part.shape[1])
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, int(interlaced))),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


IMAGES = {
    "train/cat/a.png": Image.fromarray(noise(5, 7, 3)),
    "train/dog/b.jpg": Image.fromarray(smooth(16, 16)),
    "train/dog/c.png": Image.fromarray(noise(4, 4)),
    "test/cat/d.jpeg": Image.fromarray(smooth(12, 9)[..., 0]),
    "test/cat/e.jpg": Image.fromarray(smooth(9, 17)),
    "test/dog/f.png": Image.fromarray(noise(6, 6, 3)).quantize(8),
    "test/dog/g.png": Image.fromarray(noise(3, 5, 4)),
    "test/dog/h.png": (noise(11, 9, 3), 8, True),
    "test/dog/i.png": (noise(6, 8, 3), 16, False),
    "test/dog/j.png": Image.fromarray(noise(6, 5)).convert("1"),
    "../cmyk.jpg": Image.fromarray(smooth(8, 8)).convert("CMYK"),
}


def resized(image):
    pixels = torch.from_numpy(np.array(image)).double() / 255
    pixels = pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    result = F.interpolate(pixels[None], size=(6, 8), mode="bilinear", antialias=True)[0]
    return [round(value, 8) for value in result.flatten().tolist()]


made = {}
for name, image in IMAGES.items():
    path = f"{folder}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(image, tuple):
        png(path, *image)
    else:
        options = {"quality": 95, "progressive": name.endswith("e.jpg")} if "jp" in name else {}
        image.save(path, **options)
    image = Image.open(path)
    if not name.startswith(".."):
        made[name] = {"rgb": resized(image.convert("RGB")), "grey": resized(image.convert("RGB").convert("L"))}
json.dump(made, open(f"{folder}/../images.json", "w"))
