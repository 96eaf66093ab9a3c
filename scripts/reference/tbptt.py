"""Truncated back-propagation through time in float64: an LSTM whose state goes from batch to batch, cut from the gradient.

    python3 scripts/reference/tbptt.py > Tests/EndToEndTests/Fixtures/tbptt.json
"""

import json

import torch
import torch.nn.functional as F

torch.manual_seed(3)
torch.set_default_dtype(torch.float64)
VOCAB, BATCH, PLACES, LENGTH, EPOCHS = 7, 2, 4, 10, 2


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(VOCAB, 3)
        self.lstm = torch.nn.LSTM(3, 5, batch_first=True)
        self.head = torch.nn.Linear(5, VOCAB)


model = Model()
first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
text = torch.randint(0, VOCAB, (BATCH * LENGTH * PLACES + 1,))
rows = torch.stack([text[start:start + PLACES + 1] for start in range(0, BATCH * LENGTH * PLACES, PLACES)])
optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
losses = []
for epoch in range(EPOCHS):
    state = (torch.zeros(1, BATCH, 5), torch.zeros(1, BATCH, 5))
    for place in range(LENGTH):
        batch = rows[[stream * LENGTH + place for stream in range(BATCH)]]
        state = tuple(part.detach() for part in state)
        outputs, state = model.lstm(model.embed(batch[:, :-1]), state)
        loss = F.cross_entropy(model.head(outputs).reshape(-1, VOCAB), batch[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


def values(tensor):
    return tensor.detach().flatten().tolist()


print(json.dumps({
    "text": values(text), "losses": losses, "state": [values(part) for part in state],
    "first": {name: values(weight) for name, weight in first.items()},
    "last": {name: values(weight) for name, weight in model.named_parameters()},
}))
