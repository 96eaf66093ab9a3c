"""Data parallel training by torch.distributed with gloo: two processes on this machine, one thread each.

    python ddp.py mlp_adam|gpt_adam --dtype f32|o1-bf16 [--ranks 2] [--steps 60]

Prints rows a second, the batch counted over all ranks, from the median time of a step.
"""
import argparse
import contextlib
import os
import statistics
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel as DDP

import torch_models
import workloads as W


def batch(workload, rows, rank):
    g = torch.Generator().manual_seed(rank)
    if workload == "mlp_adam":
        return torch.rand(rows, W.MLP[0], generator=g), torch.randint(0, 10, (rows,), generator=g)
    tokens = torch.randint(0, W.GPT["vocab"], (rows, W.GPT["seq"]), generator=g)
    return tokens, tokens.roll(-1, 1)


def worker(rank, args, results):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29541")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=args.ranks)
    total = W.MLP_BATCH if args.workload == "mlp_adam" else W.GPT["batch"]
    model = DDP(torch_models.make_model(args.workload))
    optimizer = torch.optim.Adam(model.parameters(), lr=W.LR_ADAM)
    x, y = batch(args.workload, total // args.ranks, rank)
    cast = torch.autocast("cpu", torch.bfloat16) if args.dtype == "o1-bf16" else contextlib.nullcontext()
    times = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        optimizer.zero_grad()
        with cast:
            logits = model(x)
            loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    if rank == 0:
        results.put(total / statistics.median(times[args.steps // 4:]))
    dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=["mlp_adam", "gpt_adam"])
    parser.add_argument("--dtype", choices=["f32", "o1-bf16"], default="f32")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    results = mp.get_context("spawn").SimpleQueue()
    mp.spawn(worker, (args, results), nprocs=args.ranks)
    print(f"{results.get():.1f}")
