#!/usr/bin/env python3
"""What training on several ranks is proved by, beyond `make test`: python3 scripts/ranks/proof.py [curves] [kills] [hang] [size] [hosts] [libraries]

curves  digits, cnn and gpt at O0, O1 and O2 on 2 and 4 ranks: near the curve of one process, and its bits with --same-bits
kills   kill -9 of a rank at 50 random moments (LTM_KILLS): the job ends within seconds, and the last checkpoint goes on
hang    a rank that is stopped: the others name it
size    a GPT of GPT-2's size on 2 ranks: peak memory grows by a bucket at most over one rank's, --shard optimizer divides masters and state
hosts   two network namespaces stand in for two hosts; the bytes on the link between them are counted, and with the link held to
        1 Gbit/s at least 80% of what could hide of that GPT's exchange is hidden; skipped aloud where the machine forbids it
libraries  two ranks by Open MPI 5, by MPICH 5 and Intel MPI, and by the standard interface of MPI 5 of both: the losses of one process;
        they are fetched as Python packages into .build/mpi, and skipped aloud where they cannot be

MPIRUN names the launcher (mpirun.openmpi).
"""
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LTM = f"{ROOT}/.build/release/ltm"
MPIRUN = os.environ.get("MPIRUN", "mpirun.openmpi")
ENV = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
       "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}
failures = 0


def check(ok, text):
    global failures
    failures += not ok
    print(("ok    " if ok else "FAIL  ") + text, flush=True)


def train(folder, sample, flags, ranks=None, mpirun=MPIRUN, environment=ENV):
    path = f"{folder}/{sample}.ltm" if ranks and os.path.exists(f"{folder}/{sample}.ltm") else f"{ROOT}/samples/{sample}.ltm"
    command = [LTM, "train", path, "--log", f"{folder}/log.jsonl", "--threads", "1", *flags]
    if ranks:
        command = [mpirun, "-np", str(ranks), *command]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if run.returncode:
        print(run.stderr[-2000:])
        return None
    return [json.loads(line)["loss"] for line in open(f"{folder}/log.jsonl") if "loss" in line]


def curves(folder):
    # Of a rank's rows batch norm has other statistics: on ranks the CNN takes them of all, to give the plain one's curve.
    with open(f"{ROOT}/samples/cnn.ltm") as file:
        synced = re.sub(r"BatchNorm\(([^()]+)\)", r"BatchNorm(\1, sync: true)", file.read())
    with open(f"{folder}/cnn.ltm", "w") as file:
        file.write(synced.replace('"data/', f'"{ROOT}/samples/data/'))
    bounds = {"O0": 2e-5, "O1": 2e-3, "O2": 2e-3}
    for sample in ["digits", "gpt", "cnn"]:
        for level in ["O0", "O1", "O2"]:
            flags = ["--precision", "16", "--amp-level", level, "--seed", "3", "--batch", "32", "--max-steps", "40"]
            one = train(folder, sample, flags)
            for ranks in [2, 4]:
                found = train(folder, sample, flags, ranks)
                # At its rate the CNN makes a rounding of halves ten times as large every ten steps.
                steps = 8 if sample == "cnn" and level != "O0" else 40
                pairs = list(zip(one, found or []))[:steps]
                far = max((abs(a - b) / max(abs(a), 1) for a, b in pairs), default=float("inf"))
                bound = bounds[level]
                check(far <= bound, f"{sample} {level} on {ranks} ranks: {far:.1e} from one process in {steps} steps, {bound:.0e} is allowed")
            if sample == "cnn":
                continue
            one = train(folder, sample, flags + ["--same-bits"])
            for ranks in [2, 4, 8]:
                found = train(folder, sample, flags + ["--same-bits"], ranks)
                check(found == one, f"{sample} {level} on {ranks} ranks with --same-bits: the bits of one process")


def processes(pattern):
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


def start(folder, flags):
    command = [MPIRUN, "-np", "2", LTM, "train", f"{ROOT}/samples/digits.ltm", "--threads", "1", "--quiet", *flags]
    return subprocess.Popen(command, cwd=folder, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kills(folder):
    count = int(os.environ.get("LTM_KILLS", "50"))
    flags = ["--seed", "3", "--epochs", "100000", "--save", f"{folder}/k.safetensors", "--save-every-n-steps", "5"]
    slowest, wrong, resumed = 0.0, 0, 0
    for _ in range(count):
        going_on = ["--resume", f"{folder}/k.safetensors"] if os.path.exists(f"{folder}/k.safetensors") else []
        job = start(folder, flags + going_on)
        time.sleep(random.uniform(0.3, 1.2))
        ranks = processes(f"^{LTM} train")
        if ranks:
            os.kill(random.choice(ranks), signal.SIGKILL)
        begin = time.time()
        try:
            told, _ = job.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            job.kill()
            told = ""
        slowest = max(slowest, time.time() - begin)
        wrong += job.returncode == 0 or not ("signal 9" in told or "KILLED" in told)
        resumed += bool(going_on)
    check(wrong == 0 and slowest < 15, f"{count} kills: each job ended with a message, the slowest after {slowest:.1f} s")
    last = subprocess.run([LTM, "train", f"{ROOT}/samples/digits.ltm", "--resume", f"{folder}/k.safetensors", "--seed", "3",
                           "--max-steps", "100000000", "--max-time", "2s", "--quiet"], capture_output=True, text=True)
    check(last.returncode == 0, f"the last checkpoint goes on in one process, after {resumed} resumptions {last.stderr[-200:]}")


def hang(folder):
    job = start(folder, ["--epochs", "1000000", "--collective-timeout", "3"])
    time.sleep(2)
    ranks = sorted(processes(f"^{LTM} train"))
    os.kill(ranks[-1], signal.SIGSTOP)
    try:
        told, _ = job.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        told = ""
    for pid in ranks:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    lines = [line for line in told.splitlines() if "has waited" in line]
    check(bool(lines), "a rank that hangs is named: " + (lines[0] if lines else told[-300:]))


# 124 million weights: 248 MB of gradients in 16 bits, 77 of them the tied embedding's.
GPT2 = ["--set", "vocab=50257", "--set", "dim=768", "--set", "depth=12", "--set", "heads=12", "--set", "context=256",
        "--window", "257", "--precision", "bf16", "--amp-level", "O2", "--seed", "3", "--no-report", "--threads", "1"]
BUCKET = 25 << 20
# Runs a command and says the most memory that it held.
MEASURED = ["python3", "-c", "import resource, subprocess, sys; subprocess.call(sys.argv[1:]); "
            "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"]


def gpt2(folder, steps, rows):
    shutil.copy(f"{ROOT}/docs/language.md", f"{folder}/text.txt")
    return [LTM, "train", f"{ROOT}/samples/gpt.ltm", *GPT2, "--data", f"{folder}/text.txt", "--batch", str(rows), "--max-steps", str(steps)]


def told_bytes(text, name):
    number, unit = re.search(name + r" ([\d.]+) ([kMG]?B)", text).groups()
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def size(folder):
    def run(ranks, more=()):
        command = [MPIRUN, "-np", str(ranks), *MEASURED, *gpt2(folder, 2, 4 * ranks), *more]
        told = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=900)
        return told.stdout + told.stderr, [int(peak) * 1024 for peak in re.findall(r"^peak (\d+)", told.stdout, re.M)]

    def peak(ranks):  # what the heap and the pages of the code hold differs by ten megabytes from run to run
        return statistics.median(peak for _ in range(5) for peak in run(ranks)[1])

    alone, together = peak(1), peak(2)
    check(together - alone <= BUCKET, f"peak memory of a rank of two: {(together - alone) / 1e6:.1f} MB more than the {alone / 1e6:.0f} of one alone; "
                                      f"a bucket has {BUCKET / 1e6:.1f}")
    one, divided = run(1)[0], run(2, ["--shard", "optimizer"])[0]
    for name in ["masters", "optimizer"]:
        part = told_bytes(divided, name) / told_bytes(one, name)
        check(abs(part * 2 - 1) <= 0.02, f"--shard optimizer on 2 ranks: {name} take {part:.1%}")


def link(command):
    return subprocess.run(command, shell=True, capture_output=True, text=True)


def sent(host):
    return int(link(f"ip netns exec {host} cat /sys/class/net/veth-{host}/statistics/tx_bytes").stdout or 0)


def hosts(folder):
    made = link("ip netns add ltmA && ip netns add ltmB && ip link add veth-ltmA type veth peer name veth-ltmB && "
                "ip link set veth-ltmA netns ltmA && ip link set veth-ltmB netns ltmB && "
                "ip -n ltmA addr add 10.78.0.1/24 dev veth-ltmA && ip -n ltmB addr add 10.78.0.2/24 dev veth-ltmB && "
                "ip -n ltmA link set lo up && ip -n ltmB link set lo up && ip -n ltmA link set veth-ltmA up && "
                "ip -n ltmB link set veth-ltmB up")
    try:
        if made.returncode:
            print("skipped: this machine lets no network namespaces be made: " + made.stderr.strip())
            return
        with open(f"{folder}/launch", "w") as file:
            # Stands in for ssh.
            file.write('#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\ncase $1 in 10.78.0.1) n=ltmA;; *) n=ltmB;; esac\n'
                       'shift\nexec ip netns exec $n unshare -u bash -c "hostname $n; $*"\n')
        os.chmod(f"{folder}/launch", 0o755)
        across(folder)
    finally:
        link("ip netns del ltmA; ip netns del ltmB")


def across(folder):
    launcher = ["--host", "10.78.0.1:1,10.78.0.2:1", "--mca", "plm_rsh_agent", f"{folder}/launch", "--mca", "btl", "tcp,self",
                "--mca", "btl_tcp_if_include", "10.78.0.0/24", "--mca", "oob_tcp_if_include", "10.78.0.0/24"]
    inside = ["ip", "netns", "exec", "ltmA", MPIRUN, *launcher, "-np", "2"]

    def run(steps):
        command = inside + [*gpt2(folder, steps, 8), "--profiler"]
        return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=900)

    before = sent("ltmA")
    short = run(2)
    middle = sent("ltmA")
    run(6)
    per_step = (sent("ltmA") - middle - (middle - before)) / 4
    check(short.returncode == 0 and per_step > 1e6, f"two hosts: {per_step / 1e6:.1f} MB a step leave one of them {short.stderr[-300:] if short.returncode else ''}")
    limited = link("for n in ltmA ltmB; do ip netns exec $n tc qdisc add dev veth-$n root tbf rate 1gbit burst 256kb latency 50ms; done")
    if limited.returncode:
        print("skipped: no traffic control here: " + limited.stderr.strip())
        return
    told = run(6)
    for line in (told.stdout + told.stderr).splitlines():
        if "collectives were under way" in line or line.startswith("steps"):
            print("      1 Gbit/s, " + line.strip())
    hidden = [int(percent) for percent in re.findall(r"(\d+)% were", told.stdout + told.stderr)]
    check(hidden and min(hidden) >= 80, f"at 1 Gbit/s {hidden}% of what could hide behind the backward pass did")


# Python package, launcher, library, and what a copy that was moved needs to find itself by.
LIBRARIES = [
    ("openmpi", "mpirun", "libmpi.so.40", {"OPAL_PREFIX": "."}),
    ("mpich", "mpiexec", "libmpi.so.12", {}),
    ("mpich", "mpiexec", "libmpi_abi.so.1", {}),
    ("impi-rt", "mpiexec.hydra", "libmpi.so.12", {"I_MPI_ROOT": ".", "FI_PROVIDER_PATH": "lib/libfabric/prov"}),
    ("impi-rt", "mpiexec.hydra", "libmpi_abi.so.1", {"I_MPI_ROOT": ".", "FI_PROVIDER_PATH": "lib/libfabric/prov"}),
]


def libraries(folder):
    flags = ["--precision", "16", "--amp-level", "O2", "--seed", "3", "--max-steps", "20"]
    one = train(folder, "digits", flags)
    for package, starter, library, places in LIBRARIES:
        prefix = f"{ROOT}/.build/mpi/{package}"
        if not os.path.exists(f"{prefix}/lib/{library}") and subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--ignore-installed", "--prefix", prefix, package],
                capture_output=True).returncode:
            print(f"skipped: the Python package {package} cannot be fetched")
            continue
        moved = {name: os.path.normpath(f"{prefix}/{place}") for name, place in places.items()}
        environment = {**ENV, "LD_LIBRARY_PATH": f"{prefix}/lib", "PATH": f"{prefix}/bin:{ENV['PATH']}", **moved}
        found = train(folder, "digits", flags + ["--mpi-library", f"{prefix}/lib/{library}"], 2, f"{prefix}/bin/{starter}", environment)
        far = max((abs(a - b) / max(abs(a), 1) for a, b in zip(one, found or [])), default=float("inf"))
        check(far <= 2e-3, f"two ranks by {package}'s {library}: {far:.1e} from one process in {len(one)} steps")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["curves", "kills", "hang", "size", "hosts", "libraries"]
    place = tempfile.mkdtemp()
    try:
        for name in wanted:
            {"curves": curves, "kills": kills, "hang": hang, "size": size, "hosts": hosts, "libraries": libraries}[name](place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sys.exit(failures > 0)
