"""Writes pages.safetensors: the text of this project's own pages, as rows of 33 bytes.

Run in the root: python3 samples/data/pages.py README.md docs/*.md
"""
import json
import struct
import sys

STEPS = 32
text = b"\n".join(open(path, "rb").read() for path in sys.argv[1:])
# Rows overlap by a byte: the last of one is the first of the next.
rows = [text[i : i + STEPS + 1] for i in range(0, len(text) - STEPS, STEPS)]
test = rows[9::10]
train = [row for index, row in enumerate(rows) if index % 10 != 9]
header, data = {}, b""
for name, part in [("text_train", train), ("text_test", test)]:
    block = b"".join(part)
    header[name] = {
        "dtype": "U8", "shape": [len(part), STEPS + 1], "data_offsets": [len(data), len(data) + len(block)]}
    data += block
encoded = json.dumps(header).encode()
encoded += b" " * (-len(encoded) % 8)
with open("samples/data/pages.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(encoded)) + encoded + data)
print(f"{len(train)} and {len(test)} rows")
