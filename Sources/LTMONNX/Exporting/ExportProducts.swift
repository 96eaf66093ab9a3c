import LTMIR

// Products, convolutions and pools.

extension ExportTable {
  static let products: [Op: ExportRow] = [
    .matmul: .whole { x, node, names in
      x.product(node, names) { x, names in x.emit("MatMul", names) }
    },
    .linear: .whole { x, node, names in
      x.product(node, names) { x, names in
        if node.type.rank == 2 { return x.emit("Gemm", names, [("transB", .int(1))]) }
        let product = x.emit("MatMul", [names[0], x.emit("Transpose", [names[1]], [("perm", .ints([1, 0]))])])
        return names.count == 3 ? x.emit("Add", [product, names[2]]) : product
      }
    },
    // ONNX has no Einsum of bf16.
    .contract: .whole { x, node, names in
      let types = node.operands.map { x.graph[$0].type }
      let wide = node.type.dtype == .bf16 ? DType.f32 : node.type.dtype
      let operands = zip(names, types).map { x.cast($0, from: $1.dtype, to: wide) }
      let axes = ContractionAxes(proved: node.attributes, ranks: (types[0].rank, types[1].rank))
      let result = x.emit("Einsum", operands, [("equation", .string(try equation(axes)))])
      return x.cast(result, from: wide, to: node.type.dtype)
    },
    .conv1d: .convolution(1), .conv2d: .convolution(2), .conv3d: .convolution(3),
    .convTranspose1d: .convolution(1, isTransposed: true), .convTranspose2d: .convolution(2, isTransposed: true),
    .maxPool1d: .pool("MaxPool"), .maxPool2d: .pool("MaxPool"), .avgPool1d: .pool("AveragePool"),
    .avgPool2d: .pool("AveragePool"),
  ]
}

/// `abc,adc->abd`: batch axes, then what is free on the left and on the right.
private func equation(_ axes: ContractionAxes) throws -> String {
  var letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".makeIterator()
  var (left, right): ([Int: Character], [Int: Character]) = ([:], [:])
  func next() throws -> Character {
    guard let letter = letters.next() else { throw ExportProblem("it has more axes than Einsum has letters") }
    return letter
  }
  for (a, b) in zip(axes.lhsBatch + axes.lhsContract, axes.rhsBatch + axes.rhsContract) {
    let letter = try next()
    (left[a], right[b]) = (letter, letter)
  }
  for axis in axes.lhsFree { left[axis] = try next() }
  for axis in axes.rhsFree { right[axis] = try next() }
  func text(_ letters: [Int: Character], _ axes: [Int]) -> String { String(axes.compactMap { letters[$0] }) }
  let result = text(left, axes.lhsBatch + axes.lhsFree) + text(right, axes.rhsFree)
  return "\(text(left, left.keys.sorted())),\(text(right, right.keys.sorted()))->\(result)"
}

extension GraphExporter {
  /// A product. That of f16 within a body is computed in f32 and rounded once, so that no runtime has to find a form of its
  /// own for it there; ONNX Runtime 1.32 crashes on loading the sample lstm in f16 all the same.
  fileprivate mutating func product(
    _ node: Node, _ names: [String], _ write: (inout GraphExporter, [String]) -> String
  ) -> String {
    let dtype = node.type.dtype
    let wide = isBody && dtype == .f16 ? DType.f32 : dtype
    let operands = names.map { cast($0, from: dtype, to: wide) }
    return cast(write(&self, operands), from: wide, to: dtype)
  }
}

extension ExportRow {
  fileprivate static func convolution(_ rank: Int, isTransposed: Bool = false) -> ExportRow {
    .whole { x, node, names in
      let attributes = node.attributes
      let padding = attributes[ints: "padding"]
      let isEven = padding.count == rank
      let low = (0..<rank).map { isEven ? padding[$0] : padding[2 * $0] }
      let high = (0..<rank).map { isEven ? padding[$0] : padding[2 * $0 + 1] }
      var all: [(String, ExportAttribute)] = [
        ("strides", .ints(attributes[ints: "stride"])), ("pads", .ints(low + high)),
        ("dilations", .ints(attributes[ints: "dilation"])), ("group", .int(attributes[int: "groups"])),
      ]
      if isTransposed { all.append(("output_padding", .ints(attributes[ints: "output_padding"]))) }
      return x.emit(isTransposed ? "ConvTranspose" : "Conv", names, all)
    }
  }

  /// A pool whose windows end inside; where runtimes differ about the last window, the formula says which there are.
  fileprivate static func pool(_ op: String) -> ExportRow {
    .whole(
      takes: { $0.attributes.bool("ceil_mode") != true && $0.attributes.int("divisor_override") == nil }
    ) { x, node, names in
      let attributes = node.attributes
      let (kernel, padding) = (attributes[ints: "kernel"], attributes[ints: "padding"])
      var all: [(String, ExportAttribute)] = [
        ("kernel_shape", .ints(kernel)), ("strides", .ints(attributes.ints("stride") ?? kernel)),
        ("pads", .ints(padding + padding)),
      ]
      if let dilation = attributes.ints("dilation") { all.append(("dilations", .ints(dilation))) }
      if let counts = attributes.bool("count_include_pad") { all.append(("count_include_pad", .flag(counts))) }
      return x.emit(op, names, all)
    }
  }
}
