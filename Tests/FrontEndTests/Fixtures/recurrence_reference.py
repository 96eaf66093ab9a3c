"""Writes recurrence.json: what PyTorch's RNN, LSTM and GRU give in f64, outputs, last states and all gradients.

Inputs and weights are no random numbers but `wave`, which the test computes too.
Run: python recurrence_reference.py > recurrence.json
"""
import json
import math

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_default_dtype(torch.float64)
SETTINGS = [
    # batch, steps, inputs, hidden, layers, bidirectional, bias, lengths, nonlinearity (RNN)
    (1, 1, 1, 1, 1, False, True, None, "tanh"),
    (2, 3, 2, 3, 1, False, True, None, "tanh"),
    (2, 4, 3, 2, 2, True, True, None, "relu"),
    (3, 3, 2, 2, 2, True, False, None, "tanh"),
    (3, 4, 2, 2, 1, True, True, [4, 1, 2], "tanh"),
    (3, 5, 1, 2, 2, True, True, [2, 5, 3], "relu"),
    (2, 1, 3, 1, 3, True, True, [1, 1], "tanh"),
]


def wave(shape, phase):
    count = math.prod(shape)
    return torch.tensor([0.8 * math.sin(1.3 * i + phase) for i in range(count)]).reshape(shape)


def case(kind, batch, steps, inputs, hidden, layers, bidirectional, bias, lengths, nonlinearity):
    options = {"nonlinearity": nonlinearity} if kind == "RNN" else {}
    layer = getattr(torch.nn, kind)(
        inputs, hidden, layers, bias=bias, batch_first=True, bidirectional=bidirectional, **options)
    names = []
    with torch.no_grad():
        for index, (name, weight) in enumerate(layer.named_parameters()):
            weight.copy_(wave(weight.shape, 0.1 + index))
            names.append([name, list(weight.shape)])
    directions = 2 if bidirectional else 1
    leaves = {"x": wave((batch, steps, inputs), 20.0)}
    for offset, name in enumerate(["h0", "c0"] if kind == "LSTM" else ["h0"]):
        leaves[name] = wave((layers * directions, batch, hidden), 30.0 + offset)
    for leaf in leaves.values():
        leaf.requires_grad_()
    first = (leaves["h0"], leaves["c0"]) if kind == "LSTM" else leaves["h0"]
    x = leaves["x"]
    if lengths:
        x = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    y, last = layer(x, first)
    if lengths:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=steps)
    results = [y, *last] if kind == "LSTM" else [y, last]
    sum((r * wave(r.shape, 40.0 + i)).sum() for i, r in enumerate(results)).backward()
    gradients = {name: leaf.grad for name, leaf in leaves.items()}
    gradients |= {f"layer.{name}": weight.grad for name, weight in layer.named_parameters()}
    return {
        "kind": kind, "batch": batch, "steps": steps, "inputs": inputs, "hidden": hidden, "layers": layers,
        "bidirectional": bidirectional, "bias": bias, "lengths": lengths or [], "nonlinearity": nonlinearity,
        "parameters": names, "results": [r.flatten().tolist() for r in results],
        "gradients": {name: g.flatten().tolist() for name, g in gradients.items()},
    }


cases = [case(kind, *setting) for kind in ["RNN", "LSTM", "GRU"] for setting in SETTINGS]
print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")
