"""PyTorch's curves for an MLP trained 20 steps: the same initial weights and batches for everyone, a float64 curve to agree with, and
the curves of PyTorch's own mixed-precision recipes, whose distance from float64 is the tolerance for ours.

  reference.py --size small|full --out DIR     writes DIR/init.safetensors, batches.safetensors (x_train, y_train: the batches in order),
                                               gradients.safetensors (step 0, float64),
                                               curves.json {"sgd.f64": [loss, ...], "adam.o2-f16": [...], ...},
                                               gradient-errors.json {"o2-f16": {"fc0.weight": relative norm of the error, ...}, ...}
                                               where "operands-f16" is float64 arithmetic on weights and inputs rounded to f16:
                                               what any 16-bit recipe starts from

Sizes: full is 784-1024-1024-10 at batch 256; small is 32-48-48-10 at batch 32. Recipes: f64, f32, amp-f16, amp-bf16 (torch.autocast,
GradScaler for f16), o2-f16, o2-bf16 (half model, f32 master weights). Data: x normal, y the argmax of a fixed random teacher.
"""
import argparse
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from network import SIZES, batch, initial_weights

RECIPES = ["f64", "f32", "amp-f16", "amp-bf16", "o2-f16", "o2-bf16"]
DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class MLP(torch.nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.depth = len(widths) - 1
        for i, (n_in, n_out) in enumerate(zip(widths, widths[1:])):
            setattr(self, f"fc{i}", torch.nn.Linear(n_in, n_out))

    def forward(self, x):
        for i in range(self.depth):
            x = getattr(self, f"fc{i}")(F.relu(x) if i else x)
        return x


def train(widths, count, optimizer, recipe, steps):
    scheme, _, half = recipe.partition("-")
    half = DTYPES.get(half)
    model = MLP(widths)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in initial_weights(widths).items()})
    model.to(DTYPES.get(scheme, torch.float32))
    masters = None
    if scheme == "o2":
        masters = [p.detach().clone().requires_grad_() for p in model.parameters()]
        model.to(half)
    params = list(model.parameters())
    opt = torch.optim.Adam(masters or params, 1e-3) if optimizer == "adam" else torch.optim.SGD(masters or params, 0.01, 0.9)
    scaler = torch.amp.GradScaler("cpu") if half == torch.float16 else None
    losses, gradients = [], {}
    for step in range(steps):
        x, y = (torch.from_numpy(a) for a in batch(widths, count, step))
        with torch.autocast("cpu", half or torch.bfloat16, enabled=scheme == "amp"):
            out = model(x.to(params[0].dtype))
        loss = F.cross_entropy(out if out.dtype == torch.float64 else out.float(), y.long())
        for p in params:
            p.grad = None
        (scaler.scale(loss) if scaler else loss).backward()
        if step == 0:
            gradients = {n: (p.grad.double() / (scaler.get_scale() if scaler else 1)).numpy() for n, p in model.named_parameters()}
        for m, p in zip(masters or [], params):
            m.grad = p.grad.float()
        scaler.step(opt) if scaler else opt.step()
        if scaler:
            scaler.update()
        if masters:
            with torch.no_grad():
                torch._foreach_copy_(params, masters)
        losses.append(loss.item())
    return losses, gradients


def operand_gradients(widths, count, half):
    """Step 0 in float64 from weights and inputs that are rounded once: the error no arithmetic can take back."""
    model = MLP(widths).double()
    model.load_state_dict({k: torch.from_numpy(v).to(half).double() for k, v in initial_weights(widths).items()})
    x, y = (torch.from_numpy(a) for a in batch(widths, count, 0))
    F.cross_entropy(model(x.to(half).double()), y.long()).backward()
    return {n: p.grad.numpy() for n, p in model.named_parameters()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True)
    widths, count = SIZES[args.size]
    curves, errors = {}, {}
    relative = lambda found: {n: float(np.linalg.norm(found[n] - exact[n]) / np.linalg.norm(exact[n])) for n in exact}  # noqa: E731
    for optimizer in ("sgd", "adam"):
        for recipe in RECIPES:
            curves[f"{optimizer}.{recipe}"], gradients = train(widths, count, optimizer, recipe, args.steps)
            if recipe == "f64":
                exact = gradients
                save_file(gradients, args.out / "gradients.safetensors")
            errors[recipe] = relative(gradients)
            print(f"{optimizer}.{recipe}: {curves[f'{optimizer}.{recipe}'][-1]}", flush=True)
    for half in ("f16", "bf16"):
        errors[f"operands-{half}"] = relative(operand_gradients(widths, count, DTYPES[half]))
    save_file(initial_weights(widths), args.out / "init.safetensors")
    batches = [batch(widths, count, step) for step in range(args.steps)]
    data = {"x_train": np.concatenate([x for x, _ in batches]), "y_train": np.concatenate([y for _, y in batches])}
    save_file(data, args.out / "batches.safetensors")
    (args.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")
    (args.out / "gradient-errors.json").write_text(json.dumps(errors, indent=1) + "\n")


if __name__ == "__main__":
    main()
