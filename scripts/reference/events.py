"""Reads an event file that `ltm train --logger tensorboard` wrote with TensorBoard's own reader, and compares it with metrics.jsonl beside it.

    ltm train samples/digits.ltm --val-split 0.1 --logger jsonl --logger tensorboard --log-dir runs/a
    python3 scripts/reference/events.py runs/a        # needs the package tensorboard
"""
import json
import math
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = sys.argv[1]
events = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0})
events.Reload()
read = {
    (tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)
}
written = {}
for line in open(f"{folder}/metrics.jsonl"):
    row = json.loads(line)
    for name, value in row.items():
        if name not in ("attempt", "step", "epoch", "validation") and value is not None:
            written[name, row["attempt"]] = struct.unpack("f", struct.pack("f", float(value)))[0]
for tag in events.Tags()["histograms"]:
    for event in events.Histograms(tag):
        counts = event.histogram_value
        print(f"{tag} after step {event.step}: {int(counts.num)} numbers from {counts.min:.3g} to {counts.max:.3g}")
        assert sum(counts.bucket) == counts.num and len(counts.bucket) == len(counts.bucket_limit)
wrong = [key for key in written if key not in read or not math.isclose(read[key], written[key], rel_tol=1e-7)]
print(f"{len(read)} scalars of {len(events.Tags()['scalars'])} tags read by TensorBoard, {len(wrong)} of {len(written)} differ")
sys.exit(bool(wrong) or len(read) != len(written))
