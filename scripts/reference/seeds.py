"""Trains seven small models over three seeds with PyTorch in float32 and with ltm at four levels: from the same weights, on the same batches.

    python3 scripts/reference/seeds.py .build/release/ltm docs/seeds > docs/seeds.md        # needs torch, scikit-learn, safetensors

Each seed splits the data anew (four fifths to train on) and makes new first weights. The text is Python's language reference, which every Python carries (pydoc_data). With a folder, `ltm plot` draws
the curves of the first seed into it. An accuracy may be 1 percent apart from PyTorch's, a loss 3 percent; where
it is further, the table says so, and the script ends with 1.
"""

import json
import subprocess
import sys
import tempfile
from pydoc_data import topics

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from sklearn import datasets
from torch import nn

LTM, SEEDS = sys.argv[1], [1, 2, 3]
PICTURES = sys.argv[2] if len(sys.argv) > 2 else None
CONTEXT = 64
LEVELS = {"f32": ["--precision", "32"], "fp16 O1": ["--precision", "16", "--amp-level", "O1"],
          "fp16 O2": ["--precision", "16", "--amp-level", "O2"], "bf16 O1": ["--precision", "bf16", "--amp-level", "O1"]}
CLASSES = """
  func loss(x: [B, {shape}], y: i32[B]) -> [] {{ return cross_entropy(forward(x), y) }}
  func accuracy(x: [B, {shape}], y: i32[B]) -> [] {{ return accuracy_score(y, argmax(forward(x), axis: -1)) }}
"""
NUMBERS = """
  func loss(x: [B, {shape}], y: [B]) -> [] {{ return mse_loss(squeeze(forward(x), axis: 1), y) }}
  func accuracy(x: [B, {shape}], y: [B]) -> [] {{ return r2_score(y, squeeze(forward(x), axis: 1)) }}
"""
MLP = """model M() {{
  let fc1 = Linear({inputs}, {hidden})
  let fc2 = Linear({hidden}, {outputs})
  func forward(x: [B, {inputs}]) -> [B, {outputs}] {{ return x |> fc1 |> relu |> fc2 }}"""
CNN = """model M() {
  let conv1 = Conv2d(1, 16, 3, padding: "same")
  let conv2 = Conv2d(16, 32, 3, padding: "same")
  let fc = Linear(128, 10)
  func forward(x: [B, 1, 8, 8]) -> [B, 10] {
    return x |> conv1 |> relu |> max_pool2d(2) |> conv2 |> relu |> max_pool2d(2) |> flatten(1) |> fc
  }"""
TEXT = """
  func loss(x: i32[B, T + 1]) -> [] {{ return cross_entropy(forward(x[..<, ..<T]), x[..<, 1..<]) }}
  func accuracy(x: i32[B, T + 1]) -> [] {{ return mean(argmax(forward(x[..<, ..<T]), axis: -1) == x[..<, 1..<]) }}
"""
LSTM = """model M() {
  let embed = Embedding(256, 16)
  let lstm = LSTM(16, 64)
  let head = Linear(64, 256)
  func forward(x: i32[B, T]) -> [B, T, 256] {
    let (states, _, _) = lstm(embed(x))
    return head(states)
  }"""
GPT = """layer Block(d: Int, heads: Int) {
  let ln1 = LayerNorm(d)
  let ln2 = LayerNorm(d)
  let qkv = Linear(d, 3 * d)
  let proj = Linear(d, d)
  let fc = Linear(d, 4 * d)
  let out = Linear(4 * d, d)
  func cut(x: [B, T, d]) -> [B, heads, T, d / heads] { return x.reshape(B, T, heads, d / heads).permute(0, 2, 1, 3) }
  func call(x: [B, T, d]) -> [B, T, d] {
    let (q, k, v) = split(qkv(ln1(x)), 3, axis: -1)
    let y = x + proj(attention(cut(q), cut(k), cut(v), causal: true).permute(0, 2, 1, 3).reshape(B, T, d))
    return y + out(gelu(fc(ln2(y))))
  }
}
model M() {
  let tok = Embedding(256, 48)
  let pos = Embedding(64, 48)
  let blocks = [Block(48, 4) for _ in 0..<2]
  let lnf = LayerNorm(48)
  let head = Projection(48, 256)
  func forward(x: i32[B, T]) -> [B, T, 256] { return head(lnf(tok(x) + pos(iota([T], axis: 0)) |> blocks)) }"""
TRAIN = """}}
train M {{
  minimize  loss
  report    loss, accuracy
  optimizer AdamW(lr: {lr}, weight_decay: 0.01)
  schedule  cosine()
  batch     {batch}
  epochs    {epochs}
}}
"""


class Perceptron(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x)))


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding="same"), nn.Conv2d(16, 32, 3, padding="same")
        self.fc = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(256, 16), nn.LSTM(16, 64, batch_first=True), nn.Linear(64, 256)

    def forward(self, x):
        return self.head(self.lstm(self.embed(x))[0])


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln1, self.ln2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), heads
        self.qkv, self.proj, self.fc, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.ln1(x)).chunk(3, -1))
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.out(F.gelu(self.fc(self.ln2(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok, self.pos = nn.Embedding(256, 48), nn.Embedding(CONTEXT, 48)
        self.blocks = nn.ModuleList(Block(48, 4) for _ in range(2))
        self.lnf, self.head = nn.LayerNorm(48), nn.Linear(48, 256, bias=False)

    def forward(self, x):
        x = self.tok(x) + self.pos.weight[:x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.lnf(x))


def text(name, body, make, epochs):
    return name, None, body + TEXT.format() + TRAIN.format(lr=3e-3, batch=32, epochs=epochs), make, (3e-3, 32, epochs), False, False


def task(name, load, inputs, hidden, outputs, lr, batch, epochs, image=False):
    text = CNN if image else MLP.format(inputs=inputs, hidden=hidden, outputs=outputs)
    shape = "1, 8, 8" if image else inputs
    text += (NUMBERS if outputs == 1 else CLASSES).format(shape=shape) + TRAIN.format(lr=lr, batch=batch, epochs=epochs)
    make = Convolutions if image else lambda: Perceptron(inputs, hidden, outputs)
    return name, load, text, make, (lr, batch, epochs), outputs == 1, image


TASKS = [
    task("digits, MLP", datasets.load_digits, 64, 64, 10, 3e-3, 32, 20),
    task("digits, CNN", datasets.load_digits, 64, 0, 10, 3e-3, 32, 12, image=True),
    task("breast_cancer", datasets.load_breast_cancer, 30, 32, 2, 3e-3, 16, 20),
    task("wine", datasets.load_wine, 13, 32, 3, 3e-3, 16, 40),
    task("diabetes", datasets.load_diabetes, 10, 32, 1, 3e-3, 16, 40),
    text("pydoc, LSTM", LSTM, Recurrent, 3),
    text("pydoc, GPT", GPT, Transformer, 3),
]


def rows(load, seed, is_numbers, image):
    if load is None:
        text = "\n\n".join(f"{name}\n\n{topics.topics[name]}" for name in sorted(topics.topics)).encode("ascii", "replace")
        count = len(text) // (CONTEXT + 1)
        lines = np.frombuffer(text, np.uint8)[:count * (CONTEXT + 1)].reshape(count, -1).astype(np.int32)
        lines = lines[np.random.default_rng(seed).permutation(count)]
        return {"x_train": lines[:count * 4 // 5].copy(), "x_test": lines[count * 4 // 5:].copy()}
    data = load()
    order = np.random.default_rng(seed).permutation(len(data.data))
    x, y = data.data[order], data.target[order]
    cut = len(x) * 4 // 5
    spread = x[:cut].std(0)
    x = (x - x[:cut].mean(0)) / np.where(spread > 0, spread, 1)
    y = (y - y[:cut].mean()) / y[:cut].std() if is_numbers else y
    x = x.astype(np.float32).reshape(-1, 1, 8, 8) if image else x.astype(np.float32)
    y = y.astype(np.float32 if is_numbers else np.int32)
    return {"x_train": x[:cut].copy(), "y_train": y[:cut].copy(), "x_test": x[cut:].copy(), "y_test": y[cut:].copy()}


def split(data, which):
    """What the model reads, and what it is to say."""
    x = torch.from_numpy(data[f"x_{which}"])
    if f"y_{which}" in data:
        return x, torch.from_numpy(data[f"y_{which}"])
    return x[:, :-1].long(), x[:, 1:].long()


def loss_of(out, y, is_numbers):
    return F.mse_loss(out[:, 0], y) if is_numbers else F.cross_entropy(out.flatten(0, -2), y.flatten().long())


def measure(model, data, is_numbers):
    x, y = split(data, "test")
    with torch.no_grad():
        out = model(x)
    loss = loss_of(out, y, is_numbers).item()
    return loss, 1 - loss / ((y - y.mean()) ** 2).mean().item() if is_numbers else (out.argmax(-1) == y).double().mean().item()


def with_torch(model, data, recipe, is_numbers):
    lr, batch, epochs = recipe
    x, y = split(data, "train")
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    steps = len(x) // batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * epochs)
    for _ in range(epochs):
        for step in range(steps):
            part = slice(step * batch, (step + 1) * batch)
            loss = loss_of(model(x[part]), y[part], is_numbers)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return measure(model, data, is_numbers)


def with_ltm(folder, level):
    command = [LTM, "train", f"{folder}/m.ltm", "--data", f"{folder}/d.safetensors", "--weights", f"{folder}/w.safetensors",
               "--no-shuffle", "--json", "--logger", "jsonl", "--log-dir", f"{folder}/{level}"] + LEVELS[level]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(result.stderr)
    reports = json.loads(result.stdout)["reports"]
    return reports["loss"], reports["accuracy"]


def draw(folder, name):
    """The curves of one seed at all levels in one picture; gives the file's name."""
    file = name.replace(", ", "-").lower() + ".svg"
    subprocess.run([LTM, "plot", *(f"{folder}/{level}" for level in LEVELS), "-o", f"{PICTURES}/{file}"], check=True, capture_output=True)
    return file


torch.set_num_threads(1)
pictures = []
isFar = False
print("# Three seeds beside PyTorch\n")
print("What `scripts/reference/seeds.py` printed: the mean over three seeds of the loss and the accuracy (of diabetes R2) on the test rows, PyTorch's in float32 and ltm's at four")
print("levels, from the same weights and on the same batches. In brackets, how far the mean is from PyTorch's: of a loss 3 percent are allowed, of an accuracy one.\n")
print("| | | PyTorch | " + " | ".join(LEVELS) + " |\n| --- | --- |" + " --- |" * (len(LEVELS) + 1))
for name, load, source, make, recipe, is_numbers, image in TASKS:
    found = {level: [] for level in ["PyTorch", *LEVELS]}
    for seed in SEEDS:
        torch.manual_seed(seed)
        data, model = rows(load, seed, is_numbers, image), make()
        with tempfile.TemporaryDirectory() as folder:
            open(f"{folder}/m.ltm", "w").write(source)
            save_file(data, f"{folder}/d.safetensors")
            save_file({key: value.numpy() for key, value in model.state_dict().items()}, f"{folder}/w.safetensors")
            for level in LEVELS:
                found[level].append(with_ltm(folder, level))
            if PICTURES and seed == SEEDS[0]:
                pictures.append((name, draw(folder, name)))
        found["PyTorch"].append(with_torch(model, data, recipe, is_numbers))
    for index, what in enumerate(["loss", "R2" if is_numbers else "accuracy"]):
        means = {level: np.mean([values[index] for values in found[level]]) for level in found}
        cells = [f"{means['PyTorch']:.4f}"]
        for level in LEVELS:
            apart = 100 * (means[level] - means["PyTorch"]) / abs(means["PyTorch"])
            tooFar = abs(apart) > (3 if index == 0 else 1)
            isFar = isFar or tooFar
            cells.append(f"{means[level]:.4f} ({apart:+.2f} %)" + (" **too far**" if tooFar else ""))
        print(f"| {name if index == 0 else ''} | {what} | " + " | ".join(cells) + " |", flush=True)
for name, file in pictures:
    print(f"\n## {name}\n\nThe first seed's curves at the four levels, by `ltm plot`:\n\n![curves of {name}](seeds/{file})")
sys.exit(int(isFar))
