"""Runs a sample's device kernels in an emulator of warps (warp.c) and, with the same inputs, its kernels for the CPU.

    emulate.py LTM LLC CLANG SAMPLE ARCH [flags of ltm compile]

The device code is the LLVM IR that `--target cuda --emit llvm` writes, compiled for this CPU with NVIDIA's intrinsics
replaced by calls; the launches are those of `--emit launch-json`. Prints as JSON, for each buffer that either side wrote,
the greatest difference and the greatest magnitude.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

STORED = {
    "f16": np.uint16, "bf16": np.uint16, "f32": np.float32, "f64": np.float64,
    "i32": np.int32, "i64": np.int64, "u8": np.uint8, "bool": np.uint8,
}  # fmt: skip

INTRINSICS = {
    "read.ptx.sreg.tid.x": "thread",
    "read.ptx.sreg.ctaid.x": "block",
    "barrier.cta.sync.aligned.all": "barrier",
    "bar.warp.sync": "warp_barrier",
    "shfl.sync.bfly.i32": "shuffle",
    "ldmatrix.sync.aligned.m8n8.x4.b16.p3": "ldmatrix_ir",
    "ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3": "ldmatrix_trans_ir",
    "mma.m16n8k16.row.col.f32.f32": "mma16816_f16_ir",
    "mma.m16n8k16.row.col.bf16": "mma16816_bf16_ir",
    "mma.m8n8k4.row.col.f32.f32": "mma884_ir",
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def matrix_call(name, target, operand, operands, sums, flag=""):
    """IR that hands the operands of a matrix instruction to C in memory: structs of results have no C convention."""
    result = "{ " + ", ".join(["float"] * sums) + " }"
    parameters = [f"{operand} %a{i}" for i in range(operands)] + [f"float %c{i}" for i in range(sums)]
    lines = [f"define {result} @emulated_{name}({', '.join(parameters)}) {{"]
    lines += ["  %a = alloca [8 x i32]", "  %c = alloca [8 x float]", "  %d = alloca [8 x float]"]
    for base, kind, count in (("a", operand, operands), ("c", "float", sums)):
        for i in range(count):
            lines += [f"  %p{base}{i} = getelementptr i32, ptr %{base}, i32 {i}"]
            lines += [f"  store {kind} %{base}{i}, ptr %p{base}{i}, align 4"]
    lines += [f"  call void @emulated_{target}(ptr %a, ptr %c, ptr %d{flag})"]
    lines += [f"  %r = load {result}, ptr %d", f"  ret {result} %r", "}"]
    return "\n".join(lines) + "\n"


def wrappers():
    words = "{ i32, i32, i32, i32 }"
    text = "declare void @emulated_ldmatrix(ptr, ptr, i32)\ndeclare void @emulated_mma16816(ptr, ptr, ptr, i32)\n"
    text += "declare void @emulated_mma884(ptr, ptr, ptr)\ndeclare i32 @emulated_bfloat(float)\n"
    for name, flag in (("ldmatrix_ir", 0), ("ldmatrix_trans_ir", 1)):
        text += f"define {words} @emulated_{name}(ptr %p) {{\n  %o = alloca [4 x i32]\n"
        text += f"  call void @emulated_ldmatrix(ptr %p, ptr %o, i32 {flag})\n"
        text += f"  %r = load {words}, ptr %o\n  ret {words} %r\n}}\n"
    text += matrix_call("mma16816_f16_ir", "mma16816", "<2 x half>", 6, 4, ", i32 0")
    text += matrix_call("mma16816_bf16_ir", "mma16816", "i32", 6, 4, ", i32 1")
    text += matrix_call("mma884_ir", "mma884", "<2 x half>", 4, 8)
    text += "define bfloat @__truncsfbf2(float %f) {\n  %u = call i32 @emulated_bfloat(float %f)\n"
    text += "  %h = trunc i32 %u to i16\n  %b = bitcast i16 %h to bfloat\n  ret bfloat %b\n}\n"
    return text


def for_this_cpu(ir):
    ir = re.sub(r"target (triple|datalayout).*\n", "", ir).replace("ptx_kernel ", "")
    ir = re.sub(r"addrspace\([13]\) ", "", ir)
    ir = re.sub(r"(attributes #\d+) = \{[^}]*\}", r"\1 = { nounwind }", ir)
    ir = re.sub(r"\) #\d+", ")", ir)
    for intrinsic, name in INTRINSICS.items():
        ir = ir.replace(f"@llvm.nvvm.{intrinsic}(", f"@emulated_{name}(")
    return re.sub(r"declare .*@emulated_\w+_ir\(.*\n", "", ir) + wrappers()


def numbers(raw, dtype):
    values = raw.view(STORED[dtype])
    if dtype == "f16":
        values = values.view(np.float16)
    if dtype == "bf16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float64)


def contents(name, dtype, count, random):
    values = random.standard_normal(count) * 0.3
    fixed = {"control/loss_scale": 1024, "control/lr": 1e-3, "control/total_steps": 100}
    if name.endswith("exp_avg"):
        values[:] = 0  # the new one then shows the gradient
    if name.endswith("exp_avg_sq"):
        values = abs(values) * 0.01
    if name in fixed:
        values[:] = fixed[name]
    if dtype in ("i32", "i64"):
        values = random.integers(0, 3, count)
    if dtype == "f16":
        values = values.astype(np.float16).view(np.uint16)
    if dtype == "bf16":
        values = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.frombuffer(values.astype(STORED[dtype]).tobytes(), np.uint8)


def memory(size):
    raw = np.zeros(size + 512, np.uint8)
    start = -raw.ctypes.data % 256
    return raw[start : start + size]


def main():
    ltm, llc, clang, sample, arch, *flags = sys.argv[1:]
    here = os.path.dirname(os.path.abspath(__file__))
    compile = [ltm, "compile", sample, *flags]
    device = compile + ["--target", "cuda", "--arch", arch]
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: os.path.join(folder, name)
        with open(path("device.ll"), "w") as file:
            file.write(for_this_cpu(run(*device, "--emit", "llvm")))
        plan = json.loads(run(*device, "--emit", "launch-json"))
        run(llc, "-O1", "-mcpu=native", "-relocation-model=pic", "-filetype=obj", path("device.ll"), "-o", path("device.o"))
        run(clang, "-O2", "-march=native", "-w", "-fPIC", "-shared", os.path.join(here, "warp.c"), path("device.o"), "-lm",
            "-o", path("device.so"))  # fmt: skip
        run(*compile, "--emit", "obj", "-o", path("cpu.o"))
        run(clang, "-shared", path("cpu.o"), "-lm", "-o", path("cpu.so"))
        symbol = re.search(r"int (\w+)\(", open(path("cpu.h")).read()).group(1)
        there, here = ctypes.CDLL(path("device.so")), ctypes.CDLL(path("cpu.so"))
    random = np.random.default_rng(1)
    arena = memory(plan["arena_bytes"])
    owned, addresses = {}, []
    for number, buffer in enumerate(plan["buffers"]):
        if "arena_offset" in buffer:
            addresses.append(arena.ctypes.data + buffer["arena_offset"])
            continue
        owned[number] = memory(buffer["bytes"])
        if "input" in buffer:
            count = buffer["bytes"] // np.dtype(STORED[buffer["dtype"]]).itemsize
            owned[number][:] = contents(buffer["input"], buffer["dtype"], count, random)
        addresses.append(owned[number].ctypes.data)
    order = [n for kind in ("input", "output") for n, buffer in enumerate(plan["buffers"]) if kind in buffer]
    before = {n: raw.copy() for n, raw in owned.items()}
    judge = {n: memory(len(raw)) for n, raw in owned.items()}
    for n, raw in owned.items():
        judge[n][:] = raw
    if getattr(here, symbol)(*[ctypes.c_void_p(judge[n].ctypes.data) for n in order]) != 0:
        sys.exit("the object for the CPU refused its arguments")
    for launch in plan["launches"]:
        arguments = (ctypes.c_void_p * 48)(*[addresses[n] for n in launch["arguments"]])
        function = ctypes.cast(getattr(there, launch["kernel"]), ctypes.c_void_p)
        if there.emulate(function, launch["grid"][0], launch["block"][0], arguments) != 0:
            sys.exit(f"{launch['kernel']}: its threads wait for each other for ever")
    report = []
    for n in order:
        a, b = (numbers(raw, plan["buffers"][n]["dtype"]) for raw in (owned[n], judge[n]))
        if (judge[n] == before[n]).all() and (owned[n] == before[n]).all():
            continue
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        difference = np.where(same, 0, np.nan_to_num(abs(a - b), nan=np.inf))
        name = plan["buffers"][n]["name"]
        report.append({"name": name, "difference": float(difference.max()), "magnitude": float(np.nan_to_num(abs(b)).max())})
    print(json.dumps(report))


main()
