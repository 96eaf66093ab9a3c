"""Shapes, seeds, parameter initialisation, cost models and the timing harness shared by every peer.

Nothing here imports a framework: inputs and weights are numpy float32 arrays made from fixed seeds,
so that two peers given the same workload start from the same bits.

One benchmark run prints one JSON line:
  peer, workload, dtype, threads, median_ms, min_ms, gflops | GBps | items_per_s,
  compile_s (build + first call, in a live process), peak_rss_mb, note

dtype names
  f32                  everything in float32
  f16, bf16            inputs and weights in that type (accumulation is the peer's own choice)
  amp-f16, amp-bf16    the peer's automatic mixed precision; fp16 with dynamic loss scaling     (Apex O1)
  o2-f16, o2-bf16      half model and activations, fp32 master weights and optimizer state,
                       loss scaling for fp16                                                    (Apex O2)
For the training workloads f16 / bf16 mean everything half, no master copy, no scaling           (Apex O3).
"""
import argparse
import json
import math
import os
import re
import resource
import statistics
import sys
import time

import numpy as np

# ------------------------------------------------------------------------------------ shapes
EW = (4096, 4096)                       # W1
ROWS = (8192, 1024)                     # W2
GEMMS = {                               # W3   name -> (M, N, K);  C[M,N] = A[M,K] @ B[K,N]
    "gemm_512": (512, 512, 512),
    "gemm_1024": (1024, 1024, 1024),
    "gemm_2048": (2048, 2048, 2048),
    "gemm_256x4096x1024": (256, 4096, 1024),
    "gemm_64x1024x1024": (64, 1024, 1024),
}
PRODUCTS = [                            # W9   odd depths, small batches, few rows: gemm[_nt|_tn]_[Bx]MxNxK
    "gemm_4112x65x129", "gemm_129x1025x513", "gemm_129x513x1025", "gemm_8191x127x31", "gemm_8191x31x127", "gemm_31x127x8191",
    "gemm_31x8191x127", "gemm_512x768x50257", "gemm_221x31x31x29", "gemm_nt_96x128x128x64", "gemm_96x128x64x128", "gemm_tn_96x128x64x128",
    "gemm_1x4096x4096", "gemm_2x4096x4096", "gemm_3x4096x4096", "gemm_4x4096x4096", "gemm_nt_1x4096x4096", "gemm_nt_3x4096x4096",
    "gemm_7x8193x3", "gemm_7x3x8193",
]
LINEAR_GELU = (512, 3072, 768)          # W3   y = gelu(x[M,K] @ W[N,K]^T + b[N])
MLP = [784, 1024, 1024, 10]             # W4, W7
MLP_BATCH = 256
CNN_BATCH = 64                          # W6
LR_SGD, MOMENTUM = 0.01, 0.9
LSTM = (32, 128, 512, 2, 64)            # W10  batch, steps, inputs and units, layers, classes
GPT = dict(layers=4, d=256, heads=4, seq=128, batch=8, vocab=256)           # W5
ATTENTION = {"attention_512": (8, 512, 64), "attention_2048": (8, 2048, 64)}  # W11  heads, length, width
LR_ADAM, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
INIT_SCALE = 2.0 ** 16                  # dynamic loss scaling: initial scale,
GROWTH, BACKOFF, GROWTH_INTERVAL = 2.0, 0.5, 2000   # torch.amp.GradScaler's defaults

KERNELS = ["ew_chain", "softmax", "layernorm", *GEMMS, "linear_gelu", *PRODUCTS]
TRAINING = ["mlp_adam", "gpt_adam", "cnn_sgd", "lstm_adam", *ATTENTION]
TORCH_ONLY = ["gpt_adam", "cnn_sgd", "lstm_adam", *ATTENTION]
INFERENCE = ["mlp_infer_b1", "mlp_infer_b32"]
ALL = KERNELS + TRAINING + INFERENCE
GROUPS = {"W1": ["ew_chain"], "W2": ["softmax", "layernorm"], "W3": [*GEMMS, "linear_gelu"], "W4": ["mlp_adam"], "W5": ["gpt_adam"], "W6": ["cnn_sgd"], "W7": INFERENCE, "W9": PRODUCTS, "W10": ["lstm_adam"], "W11": [*ATTENTION], "kernels": KERNELS, "training": TRAINING, "all": ALL}
DTYPES = ["f32", "f16", "bf16", "amp-f16", "amp-bf16", "o2-f16", "o2-bf16"]


# ------------------------------------------------------------------------------------ data
def rng(seed):
    return np.random.default_rng(seed)


def normal(g, *shape, scale=1.0):
    return (g.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)


def kernel_inputs(name):
    """Inputs of W1-W3 as a dict of float32 arrays."""
    g = rng(1)
    if name == "ew_chain":
        r, c = EW
        return dict(x=normal(g, r, c), w=normal(g, c), b=normal(g, c), s=normal(g, c), residual=normal(g, r, c))
    if name == "softmax":
        return dict(x=normal(g, *ROWS))
    if name == "layernorm":
        return dict(x=normal(g, *ROWS), w=1 + normal(g, ROWS[1], scale=0.1), b=normal(g, ROWS[1], scale=0.1))
    if name == "linear_gelu":
        m, n, k = LINEAR_GELU
        return dict(x=normal(g, m, k), w=normal(g, n, k, scale=k ** -0.5), b=normal(g, n, scale=0.1))
    layout, batch, m, n, k = product_of(name)
    a, b = (m, k), (k, n)
    draw = lambda shape, turned, scale: normal(g, *batch, *shape[::-1], scale=scale).swapaxes(-1, -2) if turned else normal(g, *batch, *shape, scale=scale)
    return dict(a=draw(a, layout == "tn", k ** -0.5), b=draw(b, layout == "nt", 1.0))


def product_of(name):
    """(layout, [batch], M, N, K) of a product: C[M,N] = A[M,K] @ B[K,N], where B lies as [N,K] (nt) or A as [K,M] (tn); None of another name."""
    if name in GEMMS:
        return "nn", [], *GEMMS[name]
    found = re.fullmatch(r"gemm_(?:(nt|tn)_)?((?:\d+x)?)(\d+)x(\d+)x(\d+)", name)
    if not found:
        return None
    layout, batch, *sizes = found.groups()
    return layout or "nn", [int(batch[:-1])] if batch else [], *map(int, sizes)


def linear_init(g, p, name, n_in, n_out):
    """torch.nn.Linear's default: U(-1/sqrt(n_in), 1/sqrt(n_in)); weights are [out, in]."""
    bound = n_in ** -0.5
    p[name + ".weight"] = g.uniform(-bound, bound, (n_out, n_in)).astype(np.float32)
    p[name + ".bias"] = g.uniform(-bound, bound, n_out).astype(np.float32)


def mlp_params():
    g, p = rng(2), {}
    for i in range(3):
        linear_init(g, p, f"fc{i}", MLP[i], MLP[i + 1])
    return p


def cnn_params():
    """conv3x3x32 (no padding) - relu - conv3x3x64 - relu - maxpool2 - flatten(CHW) - 128 - relu - 10.  28->26->24->12."""
    g, p = rng(4), {}
    for name, c_in, c_out in (("conv0", 1, 32), ("conv1", 32, 64)):
        bound = (c_in * 9) ** -0.5
        p[name + ".weight"] = g.uniform(-bound, bound, (c_out, c_in, 3, 3)).astype(np.float32)
        p[name + ".bias"] = g.uniform(-bound, bound, c_out).astype(np.float32)
    linear_init(g, p, "fc0", 64 * 12 * 12, 128)
    linear_init(g, p, "fc1", 128, 10)
    return p


def lstm_params():
    g, p = rng(3), {}
    _, _, width, layers, classes = LSTM
    for layer in range(layers):
        for name, shape in [("weight_ih", (4 * width, width)), ("weight_hh", (4 * width, width)), ("bias_ih", 4 * width), ("bias_hh", 4 * width)]:
            p[f"lstm.{name}_l{layer}"] = g.uniform(-width ** -0.5, width ** -0.5, shape).astype(np.float32)
    linear_init(g, p, "head", width, classes)
    return p


def gpt_params():
    """Pre-norm blocks: learned positions, fused qkv with bias, an MLP of 4 d with tanh's GELU, an untied head without bias."""
    g, p, d = rng(3), {}, GPT["d"]
    p["tok.weight"] = normal(g, GPT["vocab"], d, scale=0.02)
    p["pos.weight"] = normal(g, GPT["seq"], d, scale=0.02)
    for i in range(GPT["layers"]):
        for ln in ("ln1", "ln2"):
            p[f"h{i}.{ln}.weight"], p[f"h{i}.{ln}.bias"] = np.ones(d, np.float32), np.zeros(d, np.float32)
        for name, inputs, outputs in (("qkv", d, 3 * d), ("proj", d, d), ("fc", d, 4 * d), ("out", 4 * d, d)):
            linear_init(g, p, f"h{i}.{name}", inputs, outputs)
    p["lnf.weight"], p["lnf.bias"] = np.ones(d, np.float32), np.zeros(d, np.float32)
    linear_init(g, p, "head", d, GPT["vocab"])
    del p["head.bias"]
    return p


def params_of(workload):
    return {"lstm_adam": lstm_params, "cnn_sgd": cnn_params, "gpt_adam": gpt_params}.get(workload, mlp_params)()


def batch_of(workload, step=0):
    """(inputs, targets) for one training step, or inputs for one inference call.  int64 tokens and labels."""
    g = rng(1000 + step)
    if workload.startswith("mlp_infer"):
        return normal(g, int(workload.rsplit("b", 1)[1]), MLP[0])
    if workload == "cnn_sgd":
        return normal(g, CNN_BATCH, 1, 28, 28), g.integers(0, 10, CNN_BATCH)
    if workload == "gpt_adam":
        t = g.integers(0, GPT["vocab"], (GPT["batch"], GPT["seq"] + 1))
        return t[:, :-1].copy(), t[:, 1:].copy()
    if workload == "lstm_adam":
        batch, steps, width, _, classes = LSTM
        return normal(g, batch, steps, width), g.integers(0, classes, (batch, steps))
    return normal(g, MLP_BATCH, MLP[0]), g.integers(0, MLP[-1], MLP_BATCH)


# ------------------------------------------------------------------------------------ cost models
def itemsize(dtype):
    return 4 if dtype == "f32" else 2


def bytes_of(workload, dtype):
    """Minimal traffic of a memory-bound kernel: each input read once, the output written once."""
    n = {"ew_chain": 3 * EW[0] * EW[1], "softmax": 2 * ROWS[0] * ROWS[1], "layernorm": 2 * ROWS[0] * ROWS[1]}.get(workload)
    return n * itemsize(dtype) if n else None


def flops_of(workload):
    if product := product_of(workload):
        _, batch, m, n, k = product
        return 2 * math.prod(batch) * m * n * k
    if workload == "linear_gelu":
        m, n, k = LINEAR_GELU
        return 2 * m * n * k
    if workload == "cnn_sgd":
        first, second = 2 * 26 * 26 * 32 * 9, 2 * 24 * 24 * 64 * 32 * 9
        return CNN_BATCH * (3 * (first + second + 2 * (9216 * 128 + 128 * 10)) - first)
    if workload == "lstm_adam":
        batch, steps, width, layers, classes = LSTM
        forward = layers * 2 * 4 * width * 2 * width + 2 * width * classes
        return batch * steps * (3 * forward - 2 * 4 * width * width)             # no gradient for the input
    if workload in ATTENTION:                                                  # two products forward, five back, half of each hidden
        heads, length, width = ATTENTION[workload]
        return heads * 7 * length * length * width
    if workload == "gpt_adam":
        d, t, v = GPT["d"], GPT["seq"], GPT["vocab"]
        return 3 * GPT["batch"] * t * (GPT["layers"] * (2 * 12 * d * d + 4 * t * d) + 2 * d * v)   # all of attention counted
    layer = [2 * a * b for a, b in zip(MLP, MLP[1:])]
    if workload == "mlp_adam":
        return MLP_BATCH * (3 * sum(layer) - layer[0])                         # no gradient for the input
    if workload.startswith("mlp_infer"):
        return int(workload.rsplit("b", 1)[1]) * sum(layer)
    return None


def items_of(workload):
    return {"mlp_adam": MLP_BATCH, "lstm_adam": LSTM[0], "cnn_sgd": CNN_BATCH, "gpt_adam": GPT["batch"]}.get(workload)


# ------------------------------------------------------------------------------------ harness
class Unsupported(Exception):
    """The peer cannot express this workload at this dtype; the message is reported as the note."""


def cpu_times():
    """(busy CPU seconds of the whole machine, CPU seconds of this process)"""
    f = [int(v) for v in open("/proc/stat").readline().split()[1:9]]
    return (sum(f) - f[3] - f[4]) / os.sysconf("SC_CLK_TCK"), sum(os.times()[:2])


foreign_load = 0.0          # cores kept busy by other processes during the last timed loop; > 0.15 means: measure again


def measure(call, warmup=3, reps=9, budget_s=5.0):
    """call() must block until the result exists.  Returns (first_call_s, [seconds]).
    Very slow calls (see `reps` in the output) get fewer repetitions so that one line stays within seconds."""
    t = time.perf_counter(); call(); first = time.perf_counter() - t
    t = time.perf_counter()
    for _ in range(warmup - 1):
        if first > 3 and time.perf_counter() - t + 0.5 * first > budget_s:
            break
        call()
        if time.perf_counter() - t > 0.5 * budget_s:
            break
    global foreign_load
    c0, times, start = cpu_times(), [], time.perf_counter()
    while len(times) < reps or (time.perf_counter() - start < 0.6 and len(times) < 400):
        t = time.perf_counter(); call(); times.append(time.perf_counter() - t)
        if time.perf_counter() - start > budget_s and len(times) >= (7 if first < 1.2 else 1):
            break
    c1 = cpu_times()
    foreign_load = max(0.0, (c1[0] - c0[0] - (c1[1] - c0[1])) / (time.perf_counter() - start))
    return first, times


def emit(peer, workload, dtype, threads, first_s=None, times=None, note="", **extra):
    row = dict(peer=peer, workload=workload, dtype=dtype, threads=threads)
    if times:
        med = statistics.median(times)
        row.update(median_ms=round(med * 1e3, 4), min_ms=round(min(times) * 1e3, 4), reps=len(times), foreign_load=round(foreign_load, 2))
        if bytes_of(workload, dtype):
            row["GBps"] = round(bytes_of(workload, dtype) / med * 1e-9, 2)
        if flops_of(workload):
            row["gflops"] = round(flops_of(workload) / med * 1e-9, 1)
        if items_of(workload):
            row["items_per_s"] = round(items_of(workload) / med, 1)
    if first_s is not None:
        row["compile_s"] = round(first_s, 3)
    row["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    row["note"] = note
    row.update(extra)
    print(json.dumps(row), flush=True)


def cli(doc):
    a = argparse.ArgumentParser(description=doc)
    a.add_argument("--workload", default="all", help=f"one of {ALL}, a group {list(GROUPS)}, or a comma-separated list")
    a.add_argument("--dtype", default="f32", help=f"comma-separated from {DTYPES}")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--first-only", action="store_true", help="W8: exit after the first result (the caller times the process)")
    a.add_argument("--memory", action="store_true", help="peak resident memory of three calls, less what the process holds before the model is built")
    a.add_argument("--mode", default=None, help="peer-specific (torch: eager | compile)")
    args = a.parse_args()
    args.workloads = [w for name in args.workload.split(",") for w in GROUPS.get(name, [name])]
    args.dtypes = args.dtype.split(",")
    unknown = [w for w in args.workloads if w not in ALL and not product_of(w)] + [d for d in args.dtypes if d not in DTYPES]
    if unknown:
        a.error(f"unknown: {unknown}")
    return args


def set_threads(n):
    """Call before importing a framework: pins the process to n cores and sets the usual pool sizes."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:n]))
    if "GLIBC_TUNABLES" not in os.environ and not os.environ.get("BENCH_DEFAULT_MALLOC"):
        # Keep large freed blocks mapped, in huge pages.  Without this a peer that allocates its outputs pays page faults on
        # every call (torch-eager ew_chain: 170 ms instead of 36 ms).  BENCH_DEFAULT_MALLOC=1 measures glibc's defaults.
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=8589934592:glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.argv])
    for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUM_CPU_THREADS"):
        os.environ[k] = str(n)


def resident_mb(field):
    """VmRSS, what is resident now, or VmHWM, the most that was."""
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) / 1024


def measure_memory(peer, args, build):
    """One combination a process: memory that was given back is not always given back to the system."""
    workload, dtype = args.workloads[0], args.dtypes[0]
    row = dict(peer=peer, workload="memory_" + workload, dtype=dtype, threads=args.threads)
    try:
        held = resident_mb("VmRSS")
        open("/proc/self/clear_refs", "w").write("5")               # the peak starts anew
        call, row["note"] = build(workload, dtype)
        for _ in range(3):
            call()
        row["peak_mb"] = round(resident_mb("VmHWM") - held, 1)
    except Exception as e:
        row["note"] = f"ERROR {type(e).__name__}: {e}"[:600]
    print(json.dumps(row), flush=True)


def run(peer, args, build):
    """build(workload, dtype) -> (call, note): call() runs one blocking iteration.  Prints one line per combination."""
    if args.memory:
        return measure_memory(peer, args, build)
    for workload in args.workloads:
        for dtype in args.dtypes:
            if workload not in TRAINING and dtype not in ("f32", "f16", "bf16"):
                continue
            try:
                t = time.perf_counter()
                call, note = build(workload, dtype)
                built = time.perf_counter() - t
                if args.first_only:
                    value = call()              # a training step returns its loss: equal across peers up to rounding
                    print(json.dumps(dict(peer=peer, workload=workload, dtype=dtype, loss=value if isinstance(value, float) else None, in_process_s=round(time.perf_counter() - t, 3))), flush=True)
                    sys.stdout.flush()
                    os._exit(0)
                first, times = measure(call)
                # A peer that tells what it computes in says so by `computes=`: a row counts only where that is what was asked for.
                note, _, computes = note.partition("computes=")
                emit(peer, workload, dtype, args.threads, built + first, times, note, **(dict(computes=computes) if computes else {}))
            except Exception as e:                       # the exact text is what we want to record
                text = f"{type(e).__name__}: {e}".strip()
                emit(peer, workload, dtype, args.threads, note="ERROR " + text[:600])
