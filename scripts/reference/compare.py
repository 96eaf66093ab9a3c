"""Prints how far each of our curves is from PyTorch's float64 curve, beside the bound; exits with 1 if one is beyond it."""
import json
import pathlib
import sys

out = pathlib.Path(sys.argv[1])
curves = json.loads((out / "curves.json").read_text())
PEER = {"16 O1": "amp-f16", "16 O2": "o2-f16", "bf16 O1": "amp-bf16", "bf16 O2": "o2-bf16"}
FIXED = {("sgd", "64 O0"): 1e-10, ("adam", "64 O0"): 1e-10, ("sgd", "32 O0"): 2e-6, ("adam", "32 O0"): 5e-3}


def distance(losses, exact):
    assert len(losses) == len(exact), f"{len(losses)} steps, not {len(exact)}"
    return max(abs(a - b) for a, b in zip(losses, exact))


failed = False
print(f"{'':16}{'ours':>12}{'bound':>12}")
for optimizer in ("sgd", "adam"):
    exact = curves[f"{optimizer}.f64"]
    for recipe in ("64 O0", "32 O0", *PEER):
        precision, level = recipe.split()
        lines = (out / f"{optimizer}.{precision}.{level}.jsonl").read_text().splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        ours = distance(losses, exact)
        bound = FIXED.get((optimizer, recipe)) or 2 * distance(curves[f"{optimizer}.{PEER[recipe]}"], exact)
        failed |= not ours <= bound
        print(f"{optimizer + ' ' + recipe:16}{ours:12.2e}{bound:12.2e}{'' if ours <= bound else '  BEYOND'}")
sys.exit(failed)
