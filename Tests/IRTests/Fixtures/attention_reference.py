"""Writes attention.json: what PyTorch gives for attention, outputs and gradients, in f64.

Whatever scaled_dot_product_attention can say, it computes; window, soft cap, offset and a mask beside a bias are said
in its attn_mask, or by its formula. Operands are waves that the test makes too.
Run: python attention_reference.py > attention.json
"""
import json
import math

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(shape, phase):
    n = math.prod(shape)
    i = torch.arange(n, dtype=torch.float64)
    return torch.sin(1.7 * i + phase).reshape(shape) + 0.25 * torch.cos(0.3 * i * phase).reshape(shape)


def mask(shape, kind):
    i = torch.arange(math.prod(shape)).reshape(shape)
    if kind == "rows":  # some queries see nothing
        m = (i * 7 % 5) != 0
        m[..., :: 2, :] = False
        return m
    return (i * 7 % 5) != 0


def visible(c, T, S):
    i = torch.arange(T)[:, None] + c.get("offset", 0)
    j = torch.arange(S)[None, :]
    seen = torch.ones(T, S, dtype=torch.bool)
    if c.get("causal"):
        seen &= j <= i
    if "window" in c:
        seen &= j > i - c["window"]
        if not c.get("causal"):
            seen &= j < i + c["window"]
    return seen


def attention(c, q, k, v, given, bias):
    T, S = q.shape[2], k.shape[2]
    seen = visible(c, T, S)
    if given is not None:
        seen = seen & given
    plain = "soft_cap" not in c
    if plain and c.get("causal") and "offset" not in c and "window" not in c and given is None and bias is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=c.get("scale"), enable_gqa=True)
    if plain and bias is None and bool(seen.any(-1).all()):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=c.get("scale"), enable_gqa=True)
    if plain and bias is not None and bool(seen.any(-1).all()):
        added = torch.where(seen, bias, -math.inf)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=c.get("scale"), enable_gqa=True)
    g = q.shape[1] // k.shape[1]
    s = q @ k.repeat_interleave(g, 1).transpose(-1, -2) * (c.get("scale") or 1 / math.sqrt(q.shape[3]))
    if "soft_cap" in c:
        s = c["soft_cap"] * torch.tanh(s / c["soft_cap"])
    if bias is not None:
        s = s + bias
    seen = seen.expand(s.shape)
    p = torch.softmax(torch.where(seen, s, -1e300), -1) * seen
    return p @ v.repeat_interleave(g, 1)


cases = []
for q, k, width, more in [
    ([1, 1, 1, 1], [1, 1, 1, 1], 1, {}),
    ([2, 2, 5, 4], [2, 2, 5, 4], 4, {}),
    ([2, 2, 5, 4], [2, 2, 5, 4], 4, {"causal": True}),
    ([1, 2, 17, 8], [1, 2, 17, 8], 8, {"causal": True}),
    ([1, 3, 4, 3], [1, 3, 9, 3], 5, {}),
    ([1, 3, 4, 3], [1, 3, 9, 3], 5, {"causal": True}),
    ([1, 2, 9, 4], [1, 2, 3, 4], 4, {"causal": True}),
    ([2, 4, 3, 4], [2, 2, 5, 4], 4, {"causal": True}),
    ([1, 6, 3, 2], [1, 1, 4, 2], 3, {}),
    ([1, 2, 1, 4], [1, 1, 7, 4], 4, {"causal": True, "offset": 4}),
    ([1, 2, 3, 4], [1, 2, 7, 4], 4, {"causal": True, "offset": 4}),
    ([1, 1, 5, 4], [1, 1, 7, 4], 4, {"causal": True, "offset": -2}),
    ([1, 2, 4, 4], [1, 2, 6, 4], 3, {"mask": [4, 6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"mask": [2, 1, 1, 6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"mask": [2, 1, 4, 6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"mask": [6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"mask": [2, 2, 4, 6], "kind": "rows"}),
    ([2, 2, 4, 4], [2, 2, 4, 4], 3, {"mask": [4, 4], "kind": "rows", "causal": True}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"bias": [4, 6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"bias": [2, 2, 4, 6]}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"bias": [2, 1, 6]}),
    ([2, 2, 4, 4], [2, 2, 4, 4], 3, {"bias": [1, 2, 4, 4], "causal": True}),
    ([2, 2, 4, 4], [2, 2, 6, 4], 3, {"bias": [2, 4, 6], "mask": [2, 1, 1, 6]}),
    ([1, 2, 6, 4], [1, 2, 6, 4], 4, {"scale": 0.125}),
    ([1, 2, 8, 4], [1, 2, 8, 4], 4, {"window": 3, "causal": True}),
    ([1, 2, 8, 4], [1, 2, 8, 4], 4, {"window": 3}),
    ([1, 2, 4, 4], [1, 2, 8, 4], 4, {"window": 2, "causal": True, "offset": 3}),
    ([1, 2, 5, 4], [1, 2, 5, 4], 4, {"soft_cap": 1.5}),
    ([1, 4, 5, 4], [1, 2, 5, 4], 4, {"soft_cap": 0.5, "causal": True, "scale": 1.0, "bias": [4, 1, 5]}),
]:
    v = k[:3] + [width]
    leaves = [wave(s, 0.5 + n).requires_grad_() for n, s in enumerate([q, k, v])]
    bias = wave(more["bias"], 4.0).requires_grad_() if "bias" in more else None
    given = mask(more["mask"], more.get("kind")) if "mask" in more else None
    y = attention(more, *leaves, given, bias)
    y.backward(wave(list(y.shape), 9.0))
    wanted = leaves + ([bias] if bias is not None else [])
    cases.append({
        "q": q, "k": k, "v": v, "options": {n: x for n, x in more.items() if n not in ("mask", "bias", "kind")},
        "mask": {"shape": more["mask"], "data": given.flatten().int().tolist()} if given is not None else None,
        "bias": more.get("bias"),
        "output": y.detach().flatten().tolist(), "gradients": [t.grad.flatten().tolist() for t in wanted],
    })
print("[" + ",\n ".join(json.dumps(c) for c in cases) + "]")
