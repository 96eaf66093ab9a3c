"""W8: seconds from starting a process to the first training-step result, with an empty on-disk cache and again with the warm one.

Each figure is one fresh process (median of --reps for the warm one); the page cache is warm.  `import_s` is the same process importing the
framework and nothing else.  w8_cold.py [--peers a,b] [--dtype f32]; --ours names our own binary, measured the same way.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = pathlib.Path(os.environ.get("PEERS", pathlib.Path.home() / "peers"))
PEERS = {   # name: (venv, script, extra args, {env: cache subdirectory}, import statement)
    "torch-eager": ("torch", "bench_torch.py", ["--mode", "eager"], {}, "import torch"),
    "torch-compile": ("torch", "bench_torch.py", ["--mode", "compile"], {"TORCHINDUCTOR_CACHE_DIR": "inductor"}, "import torch"),
    "jax": ("jax", "bench_jax.py", [], {"JAX_COMPILATION_CACHE_DIR": "jax"}, "import jax, jax.numpy"),
    "tf": ("tf", "bench_tf.py", [], {}, "import tensorflow"),
}


def timed(cmd, env, limit=85):
    t = time.perf_counter()
    r = subprocess.run(cmd, env=env, capture_output=True, text=True, timeout=limit)
    return time.perf_counter() - t, r


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--peers", default=",".join(PEERS))
    a.add_argument("--workload", default="mlp_adam")
    a.add_argument("--dtype", default="f32")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--reps", type=int, default=3)
    a.add_argument("--ours", help="the path of ltm-bench")
    args = a.parse_args()
    for peer in (["ltm"] if args.ours else []) + [name for name in args.peers.split(",") if name]:
        if peer == "ltm":
            start, caches, import_s = [args.ours, "measure", "--models", str(HERE.parent / "models")], {"LTM_CACHE": "ltm"}, 0.0
        else:
            venv, script, extra, caches, imp = PEERS[peer]
            py = str(ROOT / f"venv-{venv}/bin/python")
            if not os.path.exists(py):
                print(json.dumps(dict(peer=peer, note="not installed")), flush=True)
                continue
            import_s = min(timed([py, "-c", imp], dict(os.environ))[0] for _ in range(2))
            start = [py, str(HERE / script), *extra]
        for workload in args.workload.split(","):
            for dtype in args.dtype.split(","):
                tmp = tempfile.mkdtemp(prefix="w8-")
                env = dict(os.environ, **{k: os.path.join(tmp, v) for k, v in caches.items()})
                cmd = [*start, "--workload", workload, "--dtype", dtype, "--threads", str(args.threads), "--first-only"]
                row = dict(peer=peer, workload="cold_" + workload, dtype=dtype, threads=args.threads, import_s=round(import_s, 2))
                try:
                    cold, r = timed(cmd, env)
                    if r.returncode != 0 or '_s"' not in r.stdout:
                        row["note"] = "ERROR " + (r.stdout + r.stderr)[-400:]
                    else:
                        row["cold_s"] = round(cold, 3)
                        if caches:
                            row["warm_cache_s"] = round(statistics.median(timed(cmd, env)[0] for _ in range(args.reps)), 3)
                        else:
                            row["note"] = "no on-disk cache"
                except subprocess.TimeoutExpired:
                    row["note"] = "over 85 s"
                shutil.rmtree(tmp, ignore_errors=True)
                print(json.dumps(row), flush=True)
