"""Writes Tests/ONNXTests/Fixtures/models/encoder: a small BERT with random weights, as PyTorch exports it, with what ONNX
Runtime gives for two sentences, one of them padded.

  python scripts/onnx/encoder.py      (in the root, with torch, onnx, onnxruntime, numpy and safetensors)
"""
import math
import pathlib
import warnings

import numpy as np
import onnxruntime
import torch
from safetensors.numpy import save_file
from torch import nn

warnings.filterwarnings("ignore")


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.heads = heads

    def forward(self, x, mask):
        batch, length, dim = x.shape
        q, k, v = (f(x).view(batch, length, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(dim // self.heads) + mask, -1)
        return (weights @ v).transpose(1, 2).reshape(batch, length, dim)


class Layer(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.attention, self.proj = Attention(dim, heads), nn.Linear(dim, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)

    def forward(self, x, mask):
        x = self.norm1(x + self.proj(self.attention(x, mask)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Encoder(nn.Module):
    def __init__(self, dim, heads, depth):
        super().__init__()
        self.layer = nn.ModuleList(Layer(dim, heads) for _ in range(depth))

    def forward(self, x, mask):
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Model(nn.Module):
    def __init__(self, vocab=40, dim=16, heads=2, depth=3, context=12):
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(vocab, dim), nn.Embedding(context, dim), nn.LayerNorm(dim)
        self.encoder, self.pool = Encoder(dim, heads, depth), nn.Linear(dim, dim)

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1]))[None])
        return torch.tanh(self.pool(self.encoder(x, (1.0 - mask[:, None, None, :].float()) * -1e4)[:, 0]))


torch.manual_seed(0)
model = Model().eval()
for parameter in model.parameters():
    nn.init.normal_(parameter, std=0.3)
ids = torch.randint(0, 40, (2, 9))
mask = torch.ones(2, 9, dtype=torch.long)
mask[1, 5:] = 0
folder = pathlib.Path("Tests/ONNXTests/Fixtures/models/encoder")
folder.mkdir(parents=True, exist_ok=True)
axes = {0: "batch", 1: "sequence"}
torch.onnx.export(
    model, (ids, mask), str(folder / "model.onnx"), input_names=["ids", "mask"], output_names=["pooled"],
    dynamic_axes={"ids": axes, "mask": axes}, opset_version=17, dynamo=False)
given = {"ids": ids.numpy(), "mask": mask.numpy()}
result = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(None, given)[0]
save_file({"input_0": given["ids"], "input_1": given["mask"], "output_0": np.array(result)}, folder / "data.safetensors")
