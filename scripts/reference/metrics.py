"""Writes what scikit-learn and SciPy give for the prelude's metrics: Tests/EndToEndTests/Fixtures/metrics.json."""
import json
import sys

import numpy as np
from scipy import stats
from sklearn import metrics as m

rng = np.random.default_rng(7)
n, classes = 700, 5
label = rng.integers(0, classes, n)
score = np.round(rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[label], 1)  # many ties
guess = score.argmax(1)
binary = rng.integers(0, 2, n)
rank = np.round(rng.normal(size=n) + binary, 1)
target = np.round(rng.normal(size=n) * 3, 2)
prediction = np.round(target + rng.normal(size=n), 2)
probability = np.exp(score) / np.exp(score).sum(1, keepdims=True)
chance = 1 / (1 + np.exp(-rank))
pred2 = (rank > 0.5).astype(int)

values = {
    "accuracy": m.accuracy_score(label, guess),
    "precision_binary": m.precision_score(binary, pred2),
    "recall_binary": m.recall_score(binary, pred2),
    "f1_binary": m.f1_score(binary, pred2),
    "precision_macro": m.precision_score(label, guess, average="macro"),
    "recall_weighted": m.recall_score(label, guess, average="weighted"),
    "f1_macro": m.f1_score(label, guess, average="macro"),
    "f1_weighted": m.f1_score(label, guess, average="weighted"),
    "balanced": m.balanced_accuracy_score(label, guess),
    "matthews": m.matthews_corrcoef(label, guess),
    "kappa": m.cohen_kappa_score(label, guess),
    "top2": m.top_k_accuracy_score(label, score, k=2),
    "logloss": m.log_loss(label, probability, labels=list(range(classes))),
    "brier": m.brier_score_loss(binary, chance),
    "perplexed": float(np.exp(m.log_loss(label, probability, labels=list(range(classes))))),
    "mse": m.mean_squared_error(target, prediction),
    "rmse": m.root_mean_squared_error(target, prediction),
    "mae": m.mean_absolute_error(target, prediction),
    "mape": m.mean_absolute_percentage_error(target + 20, prediction + 20),
    "worst": m.max_error(target, prediction),
    "median": m.median_absolute_error(target, prediction),
    "r2": m.r2_score(target, prediction),
    "explained": m.explained_variance_score(target, prediction),
    "pearson": stats.pearsonr(target, prediction)[0],
    "spearman": stats.spearmanr(target, prediction)[0],
    "auc": m.roc_auc_score(binary, rank),
    "average_precision": m.average_precision_score(binary, rank),
}
data = {
    "label": label.tolist(), "score": score.ravel().tolist(), "binary": binary.tolist(), "rank": rank.tolist(),
    "target": target.tolist(), "prediction": prediction.tolist(),
}
with open(sys.argv[1], "w") as file:
    json.dump({"values": {k: float(v) for k, v in values.items()}, **data}, file)
    file.write("\n")
print(json.dumps({k: round(float(v), 6) for k, v in values.items()}))
