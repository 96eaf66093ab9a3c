"""The MLP of W4 and W7, the CNN of W6 and the LSTM of W10 as torch modules; parameter names and layouts are those of workloads.py."""
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


def make_model(workload):
    model = {"lstm_adam": Recurrent, "cnn_sgd": CNN}.get(workload, MLP)()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in W.params_of(workload).items()}, strict=True)
    return model
