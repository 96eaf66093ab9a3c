"""Counts by operator what `NodeTests` found, beside what ONNX Runtime passes, as the table of docs/conformance.md.

  python scripts/onnx/count.py FOLDER
"""
import collections
import json
import pathlib
import sys

folder = pathlib.Path(sys.argv[1])
runtime = json.loads((folder / "runtime.json").read_text())
ours = {}
for line in (folder / "ltm.tsv").read_text().splitlines():
    name, passed, reason = line.split("\t", 2)
    ours[name] = (passed == "pass", reason)
rows = collections.defaultdict(lambda: [0, 0, 0, 0])
for name, item in runtime.items():
    row = rows[item["op"]]
    passed = ours.get(name, (False, ""))[0]
    row[0] += 1
    row[1] += item["runtime"]
    row[2] += passed
    row[3] += passed and item["runtime"]
total = [sum(row[i] for row in rows.values()) for i in range(4)]
print(f"{total[0]} tests, ONNX Runtime passes {total[1]}, ltm {total[2]}; of those that ONNX Runtime passes ltm passes "
      f"{total[3]}, {100 * total[3] / max(total[1], 1):.1f}%.\n")
print("| operator | tests | ONNX Runtime | ltm |\n|---|---|---|---|")
for op, row in sorted(rows.items()):
    print(f"| {op} | {row[0]} | {row[1]} | {row[2]} |")
if "--reasons" in sys.argv:
    missing = collections.Counter()
    for name, item in runtime.items():
        if item["runtime"] and not ours.get(name, (False, ""))[0]:
            missing[(item["op"], ours.get(name, (False, "not run"))[1][:110])] += 1
    for (op, reason), count in missing.most_common(400):
        print(count, op, reason, file=sys.stderr)
