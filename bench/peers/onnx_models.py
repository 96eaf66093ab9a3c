"""W1-W3 and the W7 models as ONNX graphs (opset 21) with every tensor in the requested type; used by ONNX Runtime and OpenVINO."""
import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto as T, helper, numpy_helper

import workloads as W

ONNX = {"f32": T.FLOAT, "f16": T.FLOAT16, "bf16": T.BFLOAT16}
NP = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


class Graph:
    def __init__(self, dtype):
        self.dtype, self.nodes, self.inits, self.inputs, self.feeds, self.n = dtype, [], [], [], {}, 0

    def op(self, kind, *ins, outputs=1, **attrs):
        outs = [f"t{self.n + i}" for i in range(outputs)]
        self.n += outputs
        self.nodes.append(helper.make_node(kind, list(ins), outs, **attrs))
        return outs[0] if outputs == 1 else outs

    def const(self, name, a):
        a = a.astype(NP[self.dtype]) if a.dtype == np.float32 else a
        if a.dtype == ml_dtypes.bfloat16:
            self.inits.append(helper.make_tensor(name, T.BFLOAT16, a.shape, a.tobytes(), raw=True))
        else:
            self.inits.append(numpy_helper.from_array(a, name))
        return name

    def input(self, name, a):
        t = ONNX[self.dtype] if a.dtype == np.float32 else T.INT64
        self.feeds[name] = a.astype(NP[self.dtype]) if a.dtype == np.float32 else a
        self.inputs.append(helper.make_tensor_value_info(name, t, a.shape))
        return name

    def build(self, out):
        g = helper.make_graph(self.nodes, "g", self.inputs, [helper.make_tensor_value_info(out, ONNX[self.dtype], None)], self.inits)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        return m.SerializeToString(), self.feeds


def model(workload, dtype):
    """-> (serialized model, {input: numpy array})"""
    g = Graph(dtype)
    if workload in W.KERNELS:
        v = {k: g.input(k, a) for k, a in W.kernel_inputs(workload).items()}
        if workload == "ew_chain":
            y = g.op("Gelu", g.op("Add", g.op("Mul", v["x"], v["w"]), v["b"]), approximate="tanh")
            return g.build(g.op("Add", g.op("Mul", y, v["s"]), v["residual"]))
        if workload == "softmax":
            return g.build(g.op("Softmax", v["x"], axis=-1))
        if workload == "layernorm":
            return g.build(g.op("LayerNormalization", v["x"], v["w"], v["b"], axis=-1, epsilon=1e-5))
        if workload == "linear_gelu":
            return g.build(g.op("Gelu", g.op("Gemm", v["x"], v["w"], v["b"], transB=1), approximate="tanh"))
        return g.build(g.op("MatMul", v["a"], v["b"]))
    for k, a in W.params_of(workload).items():
        g.const(k, np.ascontiguousarray(a.T) if a.ndim == 2 else a)   # MatMul wants [in, out]
    x = g.input("x", W.batch_of(workload))
    lin = lambda n, x: g.op("Add", g.op("MatMul", x, n + ".weight"), n + ".bias")                       # noqa: E731
    for i in range(3):
        x = lin(f"fc{i}", x)
        x = g.op("Relu", x) if i < 2 else x
    return g.build(x)
