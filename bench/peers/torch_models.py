"""The MLP of W4 and W7, the GPT of W5, the CNN of W6 and the LSTM of W10 as torch modules; parameter names and layouts are those of workloads.py."""
import torch
import torch.nn.functional as F
from torch import nn

import workloads as W


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc0, self.fc1, self.fc2 = (nn.Linear(a, b) for a, b in zip(W.MLP, W.MLP[1:]))

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(F.relu(self.fc0(x)))))


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv0, self.conv1 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.fc0, self.fc1 = nn.Linear(64 * 144, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(F.relu(self.conv0(x)))), 2)
        return self.fc1(F.relu(self.fc0(x.flatten(1))))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        _, _, width, layers, classes = W.LSTM
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), heads
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc, self.out = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (z.view(b, t, self.heads, -1).transpose(1, 2) for z in self.qkv(self.ln1(x)).chunk(3, -1))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d)
        x = x + self.proj(a)
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, d, heads, seq, vocab, **_):
        super().__init__()
        self.tok, self.pos = nn.Embedding(vocab, d), nn.Embedding(seq, d)
        self.lnf, self.head = nn.LayerNorm(d), nn.Linear(d, vocab, bias=False)
        for i in range(layers):
            setattr(self, f"h{i}", Block(d, heads))
        self.layers = layers

    def forward(self, tokens):
        x = self.tok(tokens) + self.pos.weight[: tokens.shape[1]]
        for i in range(self.layers):
            x = getattr(self, f"h{i}")(x)
        return self.head(self.lnf(x))


def make_model(workload):
    model = {"lstm_adam": Recurrent, "cnn_sgd": CNN, "gpt_adam": lambda: GPT(**W.GPT)}.get(workload, MLP)()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in W.params_of(workload).items()}, strict=True)
    return model
