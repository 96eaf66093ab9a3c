"""Turns the PTX that ltm emits into C for emulator.h: each entry a function, each instruction a statement.

    ptx2c.py MODULE.ptx > module.c

An instruction that is not known here ends it with the line: nothing is guessed.
"""

import re
import sys

WIDTHS = {"p": 1, "rs": 16, "r": 32, "rd": 64, "f": 32, "fd": 64, "h": 16, "hh": 32}
SPECIAL = {"%tid.x": "current", "%ctaid.x": "blockNumber", "%ntid.x": "threadCount", "%nctaid.x": "blockCount",
           "%laneid": "(current % 32)"}  # fmt: skip
FLOATS = {"f16": "from_f16", "bf16": "from_bf16", "f32": "from_f32", "f64": "from_f64"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}


class Unknown(Exception):
    pass


def width(kind):
    digits = re.sub(r"\D", "", kind)
    return int(digits) if digits else 1


def operand(text):
    text = text.strip()
    if text in SPECIAL:
        return SPECIAL[text]
    if text.startswith("%"):
        return text[1:]
    if re.fullmatch(r"0[fF][0-9A-Fa-f]{8}|0[dD][0-9A-Fa-f]{16}", text):
        return f"0x{text[2:]}ull"
    if re.fullmatch(r"-?\d+|0x[0-9A-Fa-f]+U?", text):
        return f"(uint64_t){text.rstrip('U')}ll" if not text.startswith("0x") else text.rstrip("U") + "u"
    if re.fullmatch(r"[A-Za-z_$][\w$]*", text):
        return f"(uint64_t)(uintptr_t){text}"
    raise Unknown(text)


def typed(text, kind):
    """An operand's value as C's own type."""
    value = operand(text)
    if kind in FLOATS:
        return f"{kind}({value})"
    if kind == "pred":
        return value
    if width(kind) not in (8, 16, 32, 64):
        raise Unknown(kind)
    sign = "" if kind.startswith("s") else "u"
    return f"({sign}int{width(kind)}_t)({value})"


def put(text, kind, value):
    """Writes a value of a type to a register, which may be wider."""
    text = text.strip()
    if text == "_":
        return ""
    register = text[1:]
    if kind in FLOATS:
        return f"{register} = {FLOATS[kind]}({value});"
    if kind == "pred":
        return f"{register} = {value};"
    sign = "" if kind.startswith("s") else "u"
    return f"{register} = ({sign}int{width(kind)}_t)({value});"


def split(text):
    """Operands, with vectors and addresses whole."""
    return [part.strip() for part in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", text)]


def vector(text):
    return [part.strip() for part in text.strip("{} ").split(",")] if text.startswith("{") else [text]


def address(text):
    base, sign, offset = re.fullmatch(r"\[\s*([%\w$.]+)\s*(?:([+-])\s*(-?\d+))?\s*\]", text).groups()
    return f"({operand(base)} {sign or '+'} ({offset or 0}))"


def move(name, parts, ops, entry):
    kind = parts[-1]
    target, source = vector(ops[0]), vector(ops[1])
    if len(target) == len(source) == 1:
        return put(ops[0], kind, operand(ops[1]))
    bits = width(kind) // max(len(target), len(source))
    if len(source) > 1:
        joined = " | ".join(f"(uint64_t)(uint{bits}_t){operand(s)} << {i * bits}" for i, s in enumerate(source))
        return put(ops[0], kind, joined)
    return " ".join(put(t, f"u{bits}", f"{operand(ops[1])} >> {i * bits}") for i, t in enumerate(target))


def memory(name, parts, ops, entry):
    kind, place = parts[-1], parts[1]
    at, values = (ops[1], ops[0]) if name == "ld" else (ops[0], ops[1])
    values, size = vector(values), width(kind) // 8
    if place == "param":
        number = re.search(r"_param_(\d+)", at).group(1)
        return put(values[0], kind, f"load{size * 8}(parameters[{number}])")
    start = address(at)
    check = f"global({start}, {size * len(values)}, {size * len(values)})"
    if place == "shared":
        check = f"aligned({start}, {size * len(values)})"
    elif place != "global":
        raise Unknown(place)
    lines = [f"char *at = {check};"]
    for i, value in enumerate(values):
        if name == "ld":
            lines.append(put(value, kind, f"load{size * 8}(at + {i * size})"))
        else:
            lines.append(f"store{size * 8}(at + {i * size}, {operand(value)});")
    return "{ " + " ".join(lines) + " }"


def convert(name, parts, ops, entry):
    to, source, mode = parts[-2], parts[-1], parts[1]
    if to in ("f16x2", "bf16x2"):
        half = FLOATS[to[:-2]]
        return put(ops[0], "b32", f"(uint32_t){half}({typed(ops[1], source)}) << 16 | {half}({typed(ops[2], source)})")
    value = typed(ops[1], source)
    rounding = {"rni": "rint", "rmi": "floor", "rpi": "ceil", "rzi": "trunc"}
    if mode in rounding:
        value = f"{rounding[mode]}({value})"
        if to not in FLOATS:
            low, high = ("INT%d_MIN", "INT%d_MAX") if to.startswith("s") else ("0", "UINT%d_MAX")
            bounds = [b % width(to) if "%" in b else b for b in (low, high)]
            return "{ double v = %s; %s }" % (
                value, put(ops[0], to, f"v != v ? 0 : v <= (double){bounds[0]} ? {bounds[0]} : v >= (double){bounds[1]} ? {bounds[1]} : ({'' if to.startswith('s') else 'u'}int{width(to)}_t)v"))  # fmt: skip
    elif source in FLOATS and to not in FLOATS:
        raise Unknown("a conversion without its rounding")
    return put(ops[0], to, f"({'double' if to == 'f64' else 'float'}){value}" if to in ("f64", "f32") else value)


def compare(name, parts, ops, entry):
    how, kind = parts[1], parts[-1]
    if len(parts) != 3:
        raise Unknown("a comparison with more")
    if kind.endswith("x2"):
        kind = kind[:-2]
        halves = [[f"{kind}({operand(o)} >> {shift})" for o in ops[1:]] for shift in (0, 16)]
        return " ".join(comparison(p, how, kind, *h) for p, h in zip(ops[0].split("|"), halves))
    return comparison(ops[0], how, kind, typed(ops[1], kind), typed(ops[2], kind))


def comparison(target, how, kind, a, b):
    if kind not in FLOATS:
        return put(target, "pred", f"{a} {COMPARISONS[how]} {b}")
    unordered = f"({a} != {a} || {b} != {b})"
    if how in ("nan", "num"):
        return put(target, "pred", ("" if how == "nan" else "!") + unordered)
    if how.endswith("u") and how[:-1] in COMPARISONS:
        return put(target, "pred", f"{unordered} || {a} {COMPARISONS[how[:-1]]} {b}")
    return put(target, "pred", f"!{unordered} && {a} {COMPARISONS[how]} {b}")


def arithmetic(name, parts, ops, entry):
    kind = parts[-1]
    if kind in ("f16x2", "bf16x2"):
        half = kind[:-2]
        values = []
        for shift in (0, 16):
            args = [f"{half}({operand(o)} >> {shift})" for o in ops[1:]]
            values.append(f"(uint32_t){FLOATS[half]}({formula(name, parts, args, half)})")
        return put(ops[0], "b32", f"{values[0]} | {values[1]} << 16")
    args = [typed(o, kind) for o in ops[1:]]
    if name in ("shl", "shr"):
        args[1] = f"(uint32_t)({operand(ops[2])})"
        over = f"({args[0]} < 0 ? -1 : 0)" if kind.startswith("s") else "0"
        return put(ops[0], kind, f"{args[1]} >= {width(kind)} ? {over} : {args[0]} {'<<' if name == 'shl' else '>>'} {args[1]}")
    if name in ("mul", "mad") and kind not in FLOATS:
        sign = "" if kind.startswith("s") else "unsigned "
        product = f"({sign}__int128){args[0]} * {args[1]}"
        mode = parts[1]
        if mode == "hi":
            product = f"({product}) >> {width(kind)}"
        if name == "mad":
            wide = typed(ops[3], kind[0] + str(2 * width(kind))) if mode == "wide" else args[2]
            product = f"{product} + {wide}"
        return put(ops[0], kind[0] + str(2 * width(kind)) if mode == "wide" else kind, product)
    if kind in ("f32", "f64") and name in ("neg", "abs", "copysign"):  # bits, so that a NaN keeps its own
        bits, raw = width(kind), [f"(uint{width(kind)}_t){operand(o)}" for o in ops[1:]]
        top = f"((uint{bits}_t)1 << {bits - 1})"
        value = {"neg": f"{raw[0]} ^ {top}", "abs": f"{raw[0]} & ~{top}"}.get(name)
        return put(ops[0], f"b{bits}", value or f"({raw[1]} & ~{top}) | ({raw[0]} & {top})")
    return put(ops[0], kind, formula(name, parts, args, kind))


def formula(name, parts, args, kind):
    suffix = "" if kind == "f64" else "f"
    if name in ("add", "sub", "mul", "div", "and", "or", "xor", "rem"):
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/", "and": "&", "or": "|", "xor": "^", "rem": "%"}[name]
        return f"{args[0]} {sign} {args[1]}"
    if name in ("min", "max"):
        if kind not in FLOATS:
            return f"{args[0]} {'<' if name == 'min' else '>'} {args[1]} ? {args[0]} : {args[1]}"
        value = f"f{name}{suffix}({args[0]}, {args[1]})"
        return f"({args[0]} != {args[0]} || {args[1]} != {args[1]}) ? NAN : {value}" if "NaN" in parts else value
    if name == "not":
        return f"!{args[0]}" if kind == "pred" else f"~{args[0]}"
    if name == "neg":
        return f"-{args[0]}"
    if name == "abs":
        return f"fabs{suffix}({args[0]})" if kind in FLOATS else f"{args[0]} < 0 ? -{args[0]} : {args[0]}"
    if name == "fma":
        return f"fma{suffix}({args[0]}, {args[1]}, {args[2]})"
    if name == "sqrt":
        return f"sqrt{suffix}({args[0]})"
    if name == "rcp":
        return f"1 / {args[0]}"
    raise Unknown(name)


def select(name, parts, ops, entry):
    kind = f"b{width(parts[-1])}"
    return put(ops[0], kind, f"{operand(ops[3])} ? {typed(ops[1], kind)} : {typed(ops[2], kind)}")


def extract(name, parts, ops, entry):
    kind = parts[-1]
    if not kind.startswith("u"):
        raise Unknown(kind)
    start, count = operand(ops[2]), operand(ops[3])
    return put(ops[0], kind, f"{typed(ops[1], kind)} >> ({start} & 255) & (((uint64_t)1 << ({count} & 255)) - 1)")


def matrices(name, parts, ops, entry):
    if name == "ldmatrix":
        targets = vector(ops[0])
        lines = ["uint32_t m[4];"]
        lines.append(f"load_matrices({address(ops[1])}, m, {len(targets)}, {int('trans' in parts)});")
        lines += [put(t, "b32", f"m[{i}]") for i, t in enumerate(targets)]
        return "{ " + " ".join(lines) + " }"
    shape, kind = parts[3], parts[-2]
    words = ", ".join(operand(o) for o in vector(ops[1]) + vector(ops[2]))
    sums = ", ".join(f"f32({operand(o)})" for o in vector(ops[3]))
    targets = vector(ops[0])
    calls = {
        "m16n8k16": f"multiply16816(w, c, d, {int(kind == 'bf16')});",
        "m8n8k4": "multiply884(w, c, d);",
    }
    if shape not in calls or kind not in ("f16", "bf16") or parts[-1] != "f32":
        raise Unknown(shape)
    lines = [f"uint32_t w[] = {{{words}}}; float c[] = {{{sums}}}, d[{len(targets)}];", calls[shape]]
    lines += [put(t, "f32", f"d[{i}]") for i, t in enumerate(targets)]
    return "{ " + " ".join(lines) + " }"


def together(name, parts, ops, entry):
    if name == "shfl":
        if parts[2] != "bfly":
            raise Unknown(parts[2])
        return put(ops[0], "b32", f"shuffle({operand(ops[1])}, {operand(ops[2])})")
    if "warp" in parts:
        return "meet(NULL, 0, 0);"
    return "barrier();"


def asynchronous(name, parts, ops, entry):
    if parts[2] == "commit_group":
        return "commit_group();"
    if parts[2] in ("wait_group", "wait_all"):
        return f"wait_group({operand(ops[0]) if ops else -1});"
    if "shared" not in parts or "global" not in parts:
        raise Unknown("a copy from elsewhere")
    given = operand(ops[3]) if len(ops) > 3 else operand(ops[2])
    return f"copy_async({address(ops[0])}, {address(ops[1])}, {operand(ops[2])}, {given});"


def group(name, parts, ops, entry):
    if parts[1] in ("fence", "commit_group", "wait_group"):
        return ";"
    if parts[1] != "mma_async" or not parts[4].startswith("m64") or parts[-1] not in ("f16", "bf16") or ops[3:6] != ["1"] * 3:
        raise Unknown(parts[1])
    sums = vector(ops[0])
    lines = ["float s[] = {" + ", ".join(f"f32({operand(s)})" for s in sums) + "};"]
    flags = f"{len(sums)}, {int(parts[-1] == 'bf16')}, {operand(ops[6])}, {operand(ops[7])}"
    lines.append(f"multiply_group({operand(ops[1])}, {operand(ops[2])}, s, {flags});")
    lines += [put(s, "f32", f"s[{i}]") for i, s in enumerate(sums)]
    return "{ " + " ".join(lines) + " }"


ARITHMETIC = "add sub mul mad div rem and or xor not neg abs min max fma sqrt rcp shl shr copysign".split()
RULES = {
    "mov": move, "ld": memory, "st": memory, "cvt": convert, "setp": compare, "selp": select, "bfe": extract, "mma": matrices,
    "wgmma": group, "fence": lambda *_: ";", "ldmatrix": matrices, "shfl": together, "bar": together, "barrier": together,
    "ret": lambda *_: "return;",
    "cvta": lambda name, parts, ops, entry: put(ops[0], "b64", operand(ops[1])),
    "prmt": lambda name, parts, ops, entry: put(ops[0], "b32", f"permute({operand(ops[1])}, {operand(ops[2])}, {operand(ops[3])})"),
    "bra": lambda name, parts, ops, entry: f"goto {ops[0]};",
    **{name: arithmetic for name in ARITHMETIC},
}  # fmt: skip


def statement(text, entry):
    guard = re.match(r"@(!?)%(p\d+)\s+", text)
    if guard:
        text = text[guard.end() :]
    head, _, rest = text.partition(" ")
    parts = head.split(".")
    if parts[0] == "cp" and parts[1] == "async" and "bulk" not in parts:
        line = asynchronous("cp", parts, split(rest), entry)
    elif parts[0] in RULES:
        line = RULES[parts[0]](parts[0], parts, split(rest), entry)
    else:
        raise Unknown(parts[0])
    return f"if ({guard.group(1)}{guard.group(2)}) {{ {line} }}" if guard else line


def body(code, entry):
    shared, out = [], []
    code = re.sub(r"//.*|^\s*\.loc.*$", "", code, flags=re.M)
    for text in code.split(";"):
        text = re.sub(r"\s+", " ", text).strip()
        while label := re.match(r"([\w$]+):( |$)", text):
            out.append(f"{label.group(1)}:;")
            text = text[label.end() :]
        register = re.match(r"\.reg \.\w+ %(\w+?)<(\d+)>", text)
        memory = re.match(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", text)
        if register:
            kind, count = register.group(1), int(register.group(2))
            c = "bool" if WIDTHS[kind] == 1 else f"uint{WIDTHS[kind]}_t"
            out += [f"{c} {', '.join(f'{kind}{i} = 0' for i in range(count))};"] if count else []
        elif memory:
            shared.append((memory.group(2), int(memory.group(1)), int(memory.group(3))))
        elif text and not text.startswith(".pragma"):
            try:
                out.append(statement(text, entry))
            except (Unknown, KeyError, AttributeError, IndexError, ValueError) as error:
                sys.exit(f"ptx2c: in {entry}: '{text}': {error!r}")
    return shared, out


def main():
    text = open(sys.argv[1]).read()
    version = re.search(r"\.version (\d+\.\d+)\s+\.target (\w+)", text)
    if not version:
        sys.exit("ptx2c: no .version and .target")
    print('#include "emulator.h"')
    for name in re.findall(r"\.extern \.shared .*?([\w$]+)\[\]", text):
        print(f"#define {name} dynamicShared")
    kernels = []
    pattern = r"\.entry ([\w$]+)\((.*?)\)(.*?)\n\{\n(.*?)\n\}"
    for entry, parameters, directives, code in re.findall(pattern, text, re.S):
        shared, lines = body(code, entry)
        offset, names = 0, []
        for name, alignment, size in shared:
            offset = -(-offset // alignment) * alignment
            names.append((name, offset))
            offset += size
        print(f"static char *{entry}_shared;")
        for name, place in names:
            print(f"#define {name} ({entry}_shared + {place})")
        print(f"static void {entry}(void **parameters) {{\n  " + "\n  ".join(lines) + "\n}")
        threads = re.search(r"\.reqntid (\d+)", directives)
        kernels.append((entry, int(threads.group(1)) if threads else 0, parameters.count(".param"), offset))
    if not kernels:
        sys.exit("ptx2c: no .entry")
    print("const EmulatedKernel emulated_kernels[] = {")
    for entry, threads, parameters, size in kernels:
        print(f'  {{"{entry}", {entry}, {threads}, {parameters}, {size}}},')
    print("  {0}\n};")
    print("static char **const shared_memory[] = {" + ", ".join(f"&{k[0]}_shared" for k in kernels) + "};")
    print(
        "int emulated_launch(int number, int grid, int block, int bytes, void **parameters, const Range *memory, int count) {\n"
        "  return run_kernel(&emulated_kernels[number], shared_memory[number], grid, block, bytes, parameters, memory, count);\n}"
    )


main()
