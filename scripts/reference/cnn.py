"""PyTorch's curves for a CNN trained 20 steps by SGD with momentum: as reference.py, for convolutions and pools.

  cnn.py --size small|full --out DIR     writes DIR/init.safetensors, batches.safetensors, curves.json

The network: conv 3x3, relu, conv 3x3, relu, max pool of 2, linear, relu, linear. Full is 28 x 28 images, 32 and 64 channels, 128
hidden, batch 64; small is 10 x 10, 6 and 8 channels, 16 hidden, batch 16. Data: x normal, y the argmax of a fixed random teacher.
"""
import argparse
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from reference import DTYPES, RECIPES

SIZES = {"small": (10, 6, 8, 16, 16), "full": (28, 32, 64, 128, 64)}


def initial_weights(side, first, second, hidden, _):
    generator, weights = np.random.default_rng(4), {}
    inner = (side - 4) // 2

    def put(name, shape, inputs):
        bound = inputs ** -0.5
        weights[name + ".weight"] = generator.uniform(-bound, bound, shape).astype(np.float32)
        weights[name + ".bias"] = generator.uniform(-bound, bound, shape[0]).astype(np.float32)

    put("conv0", (first, 1, 3, 3), 9)
    put("conv1", (second, first, 3, 3), first * 9)
    put("fc0", (hidden, second * inner * inner), second * inner * inner)
    put("fc1", (10, hidden), hidden)
    return weights


def batch(size, step):
    side, count = size[0], size[4]
    x = np.random.default_rng(5000 + step).standard_normal((count, 1, side, side), dtype=np.float32)
    teacher = np.random.default_rng(6).standard_normal((side * side, 10), dtype=np.float32)
    return x, np.argmax(x.reshape(count, -1) @ teacher, 1).astype(np.int32)


class CNN(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        shapes = {name: w.shape for name, w in weights.items()}
        self.conv0, self.conv1 = (torch.nn.Conv2d(*shapes[f"conv{i}.weight"][1::-1], 3) for i in (0, 1))
        self.fc0, self.fc1 = (torch.nn.Linear(*shapes[f"fc{i}.weight"][::-1]) for i in (0, 1))
        self.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(F.relu(self.conv0(x)))), 2)
        return self.fc1(F.relu(self.fc0(x.flatten(1))))


def train(size, recipe, steps):
    scheme, _, half = recipe.partition("-")
    half = DTYPES.get(half)
    model = CNN(initial_weights(*size)).to(DTYPES.get(scheme, torch.float32))
    masters = None
    if scheme == "o2":
        masters = [p.detach().clone().requires_grad_() for p in model.parameters()]
        model.to(half)
    params = list(model.parameters())
    opt = torch.optim.SGD(masters or params, 0.01, 0.9)
    scaler = torch.amp.GradScaler("cpu") if half == torch.float16 else None
    losses = []
    for step in range(steps):
        x, y = (torch.from_numpy(a) for a in batch(size, step))
        with torch.autocast("cpu", half or torch.bfloat16, enabled=scheme == "amp"):
            out = model(x.to(params[0].dtype))
        loss = F.cross_entropy(out if out.dtype == torch.float64 else out.float(), y.long())
        for p in params:
            p.grad = None
        (scaler.scale(loss) if scaler else loss).backward()
        for m, p in zip(masters or [], params):
            m.grad = p.grad.float()
        scaler.step(opt) if scaler else opt.step()
        if scaler:
            scaler.update()
        if masters:
            with torch.no_grad():
                torch._foreach_copy_(params, masters)
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True)
    size = SIZES[args.size]
    curves = {recipe: train(size, recipe, args.steps) for recipe in RECIPES}
    save_file(initial_weights(*size), args.out / "init.safetensors")
    batches = [batch(size, step) for step in range(args.steps)]
    save_file({"x_train": np.concatenate([x for x, _ in batches]), "y_train": np.concatenate([y for _, y in batches])},
              args.out / "batches.safetensors")
    (args.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")
    print({recipe: curve[-1] for recipe, curve in curves.items()})


if __name__ == "__main__":
    main()
