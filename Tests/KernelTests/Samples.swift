import LTMIR

// Graphs with the patterns that kernels are built for.

let samples: [SampleGraph] = [
  SampleGraph("softmax") { b in
    let x = b.argument("x", .f16, [64, 10])
    b.output("result", b.make(.softmax, [x], ["axis": .int(1)]))
  },
  SampleGraph("layer_norm") { b in
    let x = b.argument("x", .f16, [32, 48])
    let (w, bias) = (b.argument("w", .f32, [48]), b.argument("b", .f32, [48]))
    b.output("result", b.make(.layerNorm, [x, w, bias], ["eps": .float(1e-5)]))
  },
  SampleGraph("linear_relu") { b in
    let (x, w, bias) = (b.argument("x", .f16, [16, 24]), b.argument("w", .f16, [8, 24]), b.argument("b", .f16, [8]))
    b.output("result", b.make(.relu, [b.make(.linear, [x, w, bias])]))
  },
  SampleGraph("linear_gelu_bf16") { b in
    let (x, w, bias) = (
      b.argument("x", .bf16, [2, 8, 24]), b.argument("w", .bf16, [8, 24]), b.argument("b", .bf16, [8])
    )
    b.output("result", b.make(.gelu, [b.make(.linear, [x, w, bias])]))
  },
  SampleGraph("attention_scores") { b in
    let (q, k) = (b.argument("q", .f32, [2, 6, 4, 8]), b.argument("k", .f32, [2, 6, 4, 8]))
    let heads = [q, k].map { b.transpose($0, [0, 2, 1, 3]) }
    let scores = b.contract(heads[0], heads[1], batch: [0, 1], [3], [3])
    b.output("result", b.make(.softmax, [b.scale(scores, by: 0.35)], ["axis": .int(3)]))
  },
  SampleGraph("attention") { b in
    let (q, k) = (b.argument("q", .f16, [2, 6, 4, 8]), b.argument("k", .f16, [2, 2, 9, 8]))
    let heads = b.transpose(q, [0, 2, 1, 3])
    let (bias, mask) = (b.argument("bias", .f16, [4, 1, 9]), b.argument("mask", .bool, [2, 1, 6, 9]))
    let value = b.make(
      .attention, [heads, k, k, mask, bias], ["causal": .bool(true), "dropout": .float(0), "window": .int(4)])
    b.output("result", value)
    let seed = b.argument("seed", .f16, [2, 4, 6, 8])
    let gradients = (try? b.differentiate(value, withRespectTo: [q, k, bias], seed: seed)) ?? []
    for (number, gradient) in gradients.enumerated() { b.output("gradient\(number)", gradient) }
  },
  SampleGraph("views") { b in
    let (x, y) = (b.argument("x", .f32, [4, 6]), b.argument("y", .f32, [4, 3]))
    let joined = b.make(.concat, [x, y], ["axis": .int(1)])
    let padded = b.make(.pad, [joined], ["axis": .int(0), "low": .int(1), "high": .int(2), "value": .float(-1)])
    let transposed = b.transpose(b.make(.exp, [padded]), [1, 0])
    b.output("flat", b.reshape(transposed, to: [63]))
    b.output("part", b.slice(transposed, axis: 0, from: 2, to: 7))
    b.output("pieces", b.reshape(b.transpose(x, [1, 0]), to: [3, 8]))
  },
  SampleGraph("embedding") { b in
    let (table, index) = (b.argument("table", .f16, [10, 6]), b.argument("index", .i32, [2, 3]))
    let rows = b.make(.gather, [table, index], ["axis": .int(0)])
    b.output("result", b.make(.tanh, [rows]))
    b.output("gradient", b.make(.scatterAdd, [b.zeros(b.type(table)), index, rows], ["axis": .int(0)]))
  },
  SampleGraph("reductions") { b in
    let x = b.argument("x", .f32, [200, 300])
    b.output("rows", b.make(.mean, [x], ["axes": .ints([1]), "keep": .bool(true)]))
    b.output("columns", b.sum(x, [0]))
    b.output("all", b.sum(b.mul(x, x), [0, 1]))
    let finite = b.make(.all, [b.make(.isFinite, [x])], ["axes": .ints([0, 1]), "keep": .bool(false)])
    b.output("finite", finite)
    b.output("best", b.make(.argmax, [x], ["axis": .int(1), "keep": .bool(false)]))
    b.output("highest", b.make(.max, [x], ["axes": .ints([0]), "keep": .bool(false)]))
  },
  SampleGraph("lines") { b in
    let x = b.argument("x", .f16, [20, 300])
    b.output("sums", b.make(.cumsum, [x], ["axis": .int(1), "reversed": .bool(false)]))
    b.output("back", b.make(.cumsum, [x], ["axis": .int(0), "reversed": .bool(true)]))
    let parts = b.make(.topk, [x], ["axis": .int(1), "k": .int(4), "largest": .bool(true)])
    b.output("best", parts)
    b.output("places", b.result(1, of: parts))
    b.output("order", b.make(.argsort, [b.neg(x)], ["axis": .int(1), "descending": .bool(false)]))
  },
  SampleGraph("padded_sum") { b in
    let x = b.argument("x", .f16, [32771])
    b.output("sum", b.sum(b.cast(x, to: .f32), [0]))
    b.output("least", b.make(.min, [x], ["axes": .ints([0]), "keep": .bool(false)]))
  },
  SampleGraph("casts") { b in
    let x = b.argument("x", .f32, [7, 5])
    let half = b.cast(b.scale(x, by: 3), to: .f16)
    b.output("barrier", b.sub(b.cast(half, to: .f32), x))
    b.output("half", half)
    b.output("integer", b.cast(b.scale(x, by: 9), to: .i32))
    b.output("byte", b.cast(b.scale(x, by: 300), to: .u8))
    b.output("truth", b.cast(x, to: .bool))
    b.output("wide", b.cast(b.cast(x, to: .bf16), to: .f64))
  },
  SampleGraph("swap") { b in
    let (x, y) = (b.argument("x", .f32, [5], .state), b.argument("y", .f32, [5], .state))
    b.output("x", y, updates: "x")
    b.output("y", x, updates: "y")
  },
  SampleGraph("neighbour_update") { b in
    let x = b.argument("x", .f32, [6, 6], .state)
    b.output("x", b.add(x, b.transpose(x, [1, 0])), updates: "x")
    b.output("old", x)
  },
  adam, mlpStep, gradients,
]

/// The gradients of a layer: of its bias, and of its weights with whether all are finite.
let gradients = SampleGraph("gradients") { b in
  let (x, dy, w) = (
    b.argument("x", .f16, [24, 40]), b.argument("dy", .f16, [24, 20]), b.argument("w", .f16, [20, 32])
  )
  let dx = b.contract(dy, w, [1], [0])
  let isOn = b.make(.greater, [b.argument("y", .f16, [24, 32]), b.zeros(b.type(dx))])
  let passed = b.select(isOn, dx, b.zeros(b.type(dx)))
  b.output("bias", b.sum(passed, [0]))
  let dw = b.contract(passed, x, [0], [0])
  b.output("weight", dw)
  let finite = b.make(.all, [b.make(.isFinite, [dw])], ["axes": .ints([0, 1]), "keep": .bool(false)])
  b.output("finite", finite)
}

/// One parameter's Adam update with skip and cast-back: one kernel.
let adam = SampleGraph("adam") { b in
  let (w, g) = (b.argument("w", .f32, [8, 6], .master), b.argument("g", .f16, [8, 6]))
  _ = b.argument("half", .f16, [8, 6], .parameter)
  let (m, v) = (b.argument("m", .f32, [8, 6], .optimizerState), b.argument("v", .f32, [8, 6], .optimizerState))
  let (step, scale) = (b.argument("step", .f32, [], .control), b.argument("scale", .f32, [], .control))
  let found = b.argument("found", .bool, [], .control)
  let shape = b.type(w).shape
  let unscaled = b.div(b.cast(g, to: .f32), b.broadcast(scale, to: shape))
  let first = b.add(b.scale(m, by: 0.9), b.scale(unscaled, by: 0.1))
  let second = b.add(b.scale(v, by: 0.999), b.scale(b.mul(unscaled, unscaled), by: 0.001))
  let correction = b.neg(b.make(.expm1, [b.scale(b.make(.abs, [step]), by: -0.105)]))
  let root = b.make(.sqrt, [b.make(.abs, [second])])
  let update = b.div(b.div(first, b.broadcast(correction, to: shape)), b.offset(root, by: 1e-8))
  let skip = b.broadcast(found, to: shape)
  let new = b.select(skip, w, b.sub(w, b.scale(update, by: 0.001)))
  b.output("m", b.select(skip, m, first), updates: "m")
  b.output("v", b.select(skip, v, second), updates: "v")
  b.output("w", new, updates: "w")
  b.output("half", b.cast(new, to: .f16), updates: "half")
}

/// A whole step of a three-layer perceptron in f16 with masters, loss scale, overflow check and SGD with momentum.
let mlpStep = SampleGraph("mlp_step") { b in
  let sizes = [20, 16, 16, 10]
  let x = b.argument("x", .f16, [12, 20])
  let labels = b.argument("labels", .i32, [12])
  let (scale, rate) = (b.argument("scale", .f32, [], .control), b.argument("rate", .f32, [], .control))
  var parameters: [(name: String, value: ValueID)] = []
  for layer in 0..<3 {
    parameters.append(("w\(layer)", b.argument("w\(layer)", .f16, [sizes[layer + 1], sizes[layer]], .parameter)))
    parameters.append(("b\(layer)", b.argument("b\(layer)", .f16, [sizes[layer + 1]], .parameter)))
  }
  var hidden = x
  for layer in 0..<3 {
    hidden = b.make(.linear, [hidden, parameters[2 * layer].value, parameters[2 * layer + 1].value])
    if layer < 2 { hidden = b.make(.relu, [hidden]) }
  }
  let loss = b.make(.crossEntropy, [b.cast(hidden, to: .f32), labels])
  guard let gradients = try? b.differentiate(loss, withRespectTo: parameters.map(\.value), seed: scale) else { return }
  var finite = b.make(.isFinite, [loss])
  for gradient in gradients {
    let all = b.make(
      .all, [b.make(.isFinite, [gradient])], ["axes": .ints(Array(0..<b.type(gradient).rank)), "keep": .bool(false)])
    finite = b.make(.and, [finite, all])
  }
  b.output("loss", loss)
  for (parameter, gradient) in zip(parameters, gradients) {
    let type = b.type(gradient)
    let shape = (type.staticShape ?? [])
    let master = b.argument("master.\(parameter.name)", .f32, shape, .master)
    let velocity = b.argument("velocity.\(parameter.name)", .f32, shape, .optimizerState)
    let wide = b.div(b.cast(gradient, to: .f32), b.broadcast(scale, to: type.shape))
    let moved = b.add(b.scale(velocity, by: 0.9), wide)
    let new = b.sub(master, b.mul(moved, b.broadcast(rate, to: type.shape)))
    let keep = b.broadcast(finite, to: type.shape)
    let weight = b.select(keep, new, master)
    b.output("velocity.\(parameter.name)", b.select(keep, moved, velocity), updates: "velocity.\(parameter.name)")
    b.output("master.\(parameter.name)", weight, updates: "master.\(parameter.name)")
    b.output(parameter.name, b.cast(weight, to: .f16), updates: parameter.name)
  }
  b.output("scale", b.select(finite, scale, b.scale(scale, by: 0.5)), updates: "scale")
}
