"""How near to float64 the gradients of step 0 can be at all when weights, inputs and activations are stored in 16 bits.

  floor.py [--size full|small] [--peer DIR/gradient-errors.json] [--ltm .build/release/ltm]

Needs numpy alone. For each parameter it prints relative norms of the error against float64 gradients of unrounded values:

  operands     weights and inputs rounded to the format once, then float64 throughout
  stored       the hidden activations too are rounded, each once, as they are stored; float64 otherwise
  no flips     as 'operands', but each ReLU open where float64's is
  ours, peer   `ltm train` at O1 and O2 (--ltm), PyTorch's autocast and O2 as reference.py wrote them (--peer)

'operands' is a floor: nothing that starts from 16-bit weights and inputs knows more of them. 'no flips' shows its cause.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np

from network import SIZES, batch, initial_weights

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests/Fixtures/mlp-small"
FORMATS = {"f16": "16", "bf16": "bf16"}


def rounded(values, form):
    """To the nearest number of the format, ties to even, kept in float64."""
    if form == "f16":
        return values.astype(np.float16).astype(np.float64)
    bits = values.astype(np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def gradients(weights, x, y, store=lambda values: values, gates=None):
    """Float64 gradients of the mean cross entropy, and the gates of the ReLUs, which can be given instead."""
    depth, inputs, opened = len(weights) // 2, [x], []
    for i in range(depth):
        sums = inputs[i] @ weights[f"fc{i}.weight"].T + weights[f"fc{i}.bias"]
        if i + 1 < depth:
            opened.append(sums > 0 if gates is None else gates[i])
            inputs.append(store(np.where(opened[i], sums, 0)))
    exponents = np.exp(sums - sums.max(1, keepdims=True))
    delta = exponents / exponents.sum(1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    delta, found = delta / len(y), {}
    for i in reversed(range(depth)):
        found[f"fc{i}.weight"], found[f"fc{i}.bias"] = delta.T @ inputs[i], delta.sum(0)
        delta = (delta @ weights[f"fc{i}.weight"]) * opened[i - 1] if i else None
    return found, opened


def read(path):
    """The float32 tensors of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    header = {n: e for n, e in header.items() if n != "__metadata__" and e["dtype"] == "F32"}
    return {n: np.frombuffer(body[slice(*e["data_offsets"])], np.float32).reshape(e["shape"]) for n, e in header.items()}


def ours(ltm, widths, count, weights, x, y, precision, level):
    """The gradients that one step of `ltm train` hands to its optimizer, which keeps them in its state."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        np.savez(folder / "init.npz", **weights)
        np.savez(folder / "batch.npz", x_train=x, y_train=y)
        subprocess.run([
            ltm, "train", FIXTURES / "gradients.ltm", "--set", f"inputs={widths[0]}", "--set", f"hidden={widths[1]}",
            "--weights", folder / "init.npz", "--data", folder / "batch.npz", "--batch", str(count), "--no-shuffle", "--quiet",
            "--precision", precision, "--amp-level", level, "--save", folder / "saved.safetensors"], check=True)
        saved = read(folder / "saved.safetensors")
    return {name: saved[f"optimizer/{name}/seen"].astype(np.float64) for name in weights}


def columns(args, form, widths, count):
    """The gates that rounding flips, of how many, and each column's error by parameter."""
    weights, (x, y) = initial_weights(widths), batch(widths, count, 0)
    exact, gates = gradients({n: w.astype(np.float64) for n, w in weights.items()}, x.astype(np.float64), y)
    relative = lambda found: {n: np.linalg.norm(found[n] - g) / np.linalg.norm(g) for n, g in exact.items()}  # noqa: E731
    start = {n: rounded(w, form) for n, w in weights.items()}, rounded(x, form), y
    found, opened = gradients(*start)
    table = {
        "operands": relative(found),
        "stored": relative(gradients(*start, store=lambda values: rounded(values, form))[0]),
        "no flips": relative(gradients(*start, gates=gates)[0]),
    }
    for level in ("O1", "O2") if args.ltm else ():
        table[f"ours {level}"] = relative(ours(args.ltm, widths, count, weights, x, y, FORMATS[form], level))
    peers = json.loads(args.peer.read_text()) if args.peer else {}
    table |= {f"peer {level}": peers[f"{recipe}-{form}"] for level, recipe in (("O1", "amp"), ("O2", "o2")) if peers}
    return sum(int((a != b).sum()) for a, b in zip(gates, opened)), sum(g.size for g in gates), table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--peer", type=pathlib.Path)
    parser.add_argument("--ltm")
    args = parser.parse_args()
    for form in FORMATS:
        flips, count, table = columns(args, form, *SIZES[args.size])
        print(f"{form}: rounding weights and inputs flips {flips} of {count} ReLUs")
        print(f"{'':12}" + "".join(f"{title:>10}" for title in table))
        for name in initial_weights(SIZES[args.size][0]):
            print(f"{name:12}" + "".join(f"{errors[name]:10.1e}" for errors in table.values()))


if __name__ == "__main__":
    main()
