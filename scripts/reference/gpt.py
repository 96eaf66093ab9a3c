"""PyTorch's curves for a GPT trained 20 steps with Adam: as reference.py does it for an MLP, with the same recipes.

  gpt.py --size small|full --out DIR    writes DIR/init.safetensors, batches.safetensors (x_train, y_train: the batches in order) and
                                        curves.json {"f64": [loss, ...], "amp-f16": [...], ...,
                                                     "spread": {"amp-f16": distance, ...}}

The spread is the largest distance from float64 over the recipe's own run and eight more, whose initial weights are off by a millionth:
twenty steps amplify what 16 bits round away, so that one run's distance says little (full size, amp-bf16: 0.006 to 0.16).

Pre-norm blocks with learned positions, a fused qkv, an MLP of 4 d with tanh's GELU, an untied head without bias; attention is
scaled_dot_product_attention. Sizes: small is 2 blocks of width 32 with 2 heads, 24 tokens of 32, batch 8; full is 4 blocks of width 256
with 4 heads, 128 tokens of 256, batch 8. Data: t[i+1] = (5 t[i] + 17) mod vocab with probability 0.9, else any token.
"""
import argparse
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

from reference import DTYPES, RECIPES

SIZES = {
    "small": dict(layers=2, d=32, heads=2, seq=24, batch=8, vocab=32),
    "full": dict(layers=4, d=256, heads=4, seq=128, batch=8, vocab=256),
}


class Block(torch.nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        nn = torch.nn
        self.ln1, self.ln2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), heads
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, -1))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
        x = x + self.proj(a)
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class GPT(torch.nn.Module):
    def __init__(self, layers, d, heads, seq, vocab, **_):
        super().__init__()
        nn = torch.nn
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Embedding(seq, d)
        self.blocks = nn.ModuleList(Block(d, heads) for _ in range(layers))
        self.lnf, self.head = nn.LayerNorm(d), nn.Linear(d, vocab, bias=False)

    def forward(self, tokens):
        x = self.tok(tokens) + self.pos.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.lnf(x))


def initial_weights(size):
    """Embeddings normal(0, 0.02), norms 1 and 0, the rest torch.nn.Linear's default."""
    generator, weights = np.random.default_rng(3), {}
    for name, tensor in GPT(**size).state_dict().items():
        shape = tuple(tensor.shape)
        if name.startswith(("tok", "pos")):
            value = 0.02 * generator.standard_normal(shape)
        elif ".ln" in name or name.startswith("lnf"):
            value = np.full(shape, 1.0 if name.endswith("weight") else 0.0)
        else:
            inputs = shape[1] if len(shape) == 2 else weights[name.replace("bias", "weight")].shape[1]
            value = generator.uniform(-inputs ** -0.5, inputs ** -0.5, shape)
        weights[name] = value.astype(np.float32)
    return weights


def batch(size, step):
    g, (b, n, v) = np.random.default_rng(5000 + step), (size["batch"], size["seq"], size["vocab"])
    t = np.zeros((b, n + 1), np.int64)
    t[:, 0] = g.integers(0, v, b)
    noise, anything = g.random((b, n)), g.integers(0, v, (b, n))
    for i in range(n):
        t[:, i + 1] = np.where(noise[:, i] < 0.9, (5 * t[:, i] + 17) % v, anything[:, i])
    return t[:, :-1].astype(np.int32), t[:, 1:].astype(np.int32)


def train(size, recipe, steps, seed=None):
    scheme, _, half = recipe.partition("-")
    half, model = DTYPES.get(half), GPT(**size)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in initial_weights(size).items()})
    if seed is not None:
        noise = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + 1e-6 * torch.randn(p.shape, generator=noise))
    model.to(DTYPES.get(scheme, torch.float32))
    masters = None
    if scheme == "o2":
        masters = [p.detach().clone().requires_grad_() for p in model.parameters()]
        model.to(half)
    params = list(model.parameters())
    opt = torch.optim.Adam(masters or params, 1e-3)
    scaler = torch.amp.GradScaler("cpu") if half == torch.float16 else None
    losses = []
    for step in range(steps):
        x, y = (torch.from_numpy(a).long() for a in batch(size, step))
        with torch.autocast("cpu", half or torch.bfloat16, enabled=scheme == "amp"):
            out = model(x).flatten(0, -2)
        loss = F.cross_entropy(out if out.dtype == torch.float64 else out.float(), y.flatten())
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
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    size = SIZES[args.size]
    curves = {}
    for recipe in RECIPES:
        curves[recipe] = train(size, recipe, args.steps)
        print(f"{recipe}: {curves[recipe][-1]}", flush=True)
    distance = lambda losses: max(abs(a - b) for a, b in zip(losses, curves["f64"]))  # noqa: E731
    curves["spread"] = {
        r: max([distance(curves[r])] + [distance(train(size, r, args.steps, seed)) for seed in range(8)])
        for r in RECIPES if "-" in r}
    print(curves["spread"])
    save_file(initial_weights(size), args.out / "init.safetensors")
    batches = [batch(size, step) for step in range(args.steps)]
    data = {"x_train": np.concatenate([x for x, _ in batches]), "y_train": np.concatenate([y for _, y in batches])}
    save_file(data, args.out / "batches.safetensors")
    (args.out / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
