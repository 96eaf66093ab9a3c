"""Writes a small map of SentencePiece's rules of normalisation, which fixtures.py puts into a tokenizer.

  python scripts/tokenizers/charsmap.py > scripts/tokenizers/charsmap.b64

with a Python that has sentencepiece and protobuf.
"""
import base64
import pathlib
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

# Scalars in hexadecimal, and what they become.
RULES = [
    ("FB01", "66 69"), ("212B", "41"), ("E9", "65 301"), ("65 301", "45"), ("3042 3099", "58 59"), ("2026", "2E 2E 2E"),
    ("41 30A", "C5"), ("FF21", "41"), ("1F44D", "79"), ("A0", "20"), ("AD", ""),
]

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    (folder / "rules.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in RULES))
    sentencepiece.SentencePieceTrainer.train(
        input="docs/language.md", model_prefix=str(folder / "small"), vocab_size=300, minloglevel=2,
        normalization_rule_tsv=str(folder / "rules.tsv"))
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / "small.model").read_bytes())
    print(base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode(), end="")
