"""Writes Unicode's decompositions as the table that Sources/LTMTokenizers reads: one step each, '=' where the scalar is its parts, '~' where
they are another form of it. Younger than Unicode 12.0 is left out, as the `tokenizers` package leaves it.

  python scripts/tokenizers/decompositions.py > Sources/LTMTokenizers/Text/DecompositionText.swift
"""
import unicodedata

from tokenizers import normalizers

known = normalizers.NFKD()
entries = []
for code in range(0x110000):
    raw = "" if 0xD800 <= code < 0xE000 else unicodedata.decomposition(chr(code))
    # A table that does not know a scalar leaves it as it is.
    if not raw or known.normalize_str(chr(code)) == chr(code):
        continue
    kind, *parts = raw.split() if raw[0] == "<" else ("=", *raw.split())
    entries.append(f"{code:x}{'=' if kind == '=' else '~'}" + ",".join(f"{int(p, 16):x}" for p in parts))

print("// Written by scripts/tokenizers/decompositions.py.")
print("// swift-format-ignore-file")
print('let decompositionText = """')
line = ""
for entry in entries:
    if len(line) + len(entry) > 138:
        print("  " + line)
        line = ""
    line += (" " if line else "") + entry
print("  " + line)
print('  """')
