import LTMIR
import LTMSupport

// Ops with bodies: a scan becomes a `stablehlo.while` over the index; what is called once stands where it is called.

extension Lowering {
  /// All results of an op with a body.
  mutating func lowerBody(_ node: Node, _ x: [HLOValue]) -> [HLOValue] {
    switch node.op {
    case .scan:
      guard let form = try? LoopForm(node), let count = form.length?.constant else {
        internalFailure("stablehlo", "a scan without a length")
      }
      return scan(node, form, count, x)
    // Behind a barrier nothing of the forward pass is found again: it is computed twice, as asked.
    case .checkpoint: return inline(node.bodies[0], builder.barrier(x))
    default: return inline(node.bodies[0], x)
    }
  }

  /// The outputs of a body on these values.
  private mutating func inline(_ body: Graph, _ inputs: [HLOValue]) -> [HLOValue] {
    let stem = builder.suspend()
    var inner = Lowering(body, inputs, builder, channels: channels)
    for value in body.values where body[value].op != .input { inner.lower(value) }
    (builder, channels) = (inner.builder, inner.channels)
    builder.resume(stem)
    return body.outputs.map { inner[$0.value] }
  }

  private mutating func scan(_ node: Node, _ form: LoopForm, _ count: Int, _ x: [HLOValue]) -> [HLOValue] {
    let stacks = node.types.dropFirst(form.carried).map { builder.constant(0.0, HLOType($0)) }
    let starts = Array(x[form.constants..<form.scanned]) + stacks
    if count == 0 { return starts }
    let zero = builder.constant(Int64(0), HLOType(.i32, []))
    let limit = builder.constant(Int64(count), HLOType(.i32, []))
    let inside = builder.beginWhile([zero] + starts, limit: limit)
    let index = form.isReversed ? lastMinus(inside[0], count) : inside[0]
    let slices = x.dropFirst(form.scanned).map { slice($0, at: index, zero) }
    let carried = Array(inside[1...form.carried])
    let made = inline(node.bodies[0], x.prefix(form.constants) + carried + slices)
    let rows = zip(inside.dropFirst(1 + form.carried), made.dropFirst(form.carried)).map { stack, row in
      put(row, into: stack, at: index, zero)
    }
    let one = builder.constant(Int64(1), HLOType(.i32, []))
    let next = builder.same("add", inside[0], one)
    return Array(builder.endWhile([next] + made.prefix(form.carried) + rows).dropFirst())
  }

  private mutating func lastMinus(_ index: HLOValue, _ count: Int) -> HLOValue {
    builder.same("subtract", builder.constant(Int64(count - 1), index.type), index)
  }

  /// The elements at one index of the first axis.
  private mutating func slice(_ x: HLOValue, at index: HLOValue, _ zero: HLOValue) -> HLOValue {
    let shape = [1] + x.type.shape.dropFirst()
    let starts = [index] + x.type.shape.dropFirst().map { _ in zero }
    let row = builder.function("dynamic_slice", [x] + starts, HLOType(x.dtype, shape), ", sizes = \(list(shape))")
    return builder.reshape(row, to: Array(shape.dropFirst()))
  }

  private mutating func put(_ row: HLOValue, into x: HLOValue, at index: HLOValue, _ zero: HLOValue) -> HLOValue {
    let starts = [index] + x.type.shape.dropFirst().map { _ in zero }
    let update = builder.reshape(row, to: [1] + row.type.shape)
    return builder.function("dynamic_update_slice", [x, update] + starts, x.type)
  }
}

extension HLOBuilder {
  /// The same values, which no pass of XLA's follows further back.
  fileprivate mutating func barrier(_ x: [HLOValue]) -> [HLOValue] {
    if x.isEmpty { return [] }
    let types = x.map(\.type.description).joined(separator: ", ")
    let text = "stablehlo.optimization_barrier \(x.map(\.name).joined(separator: ", ")) : \(types)"
    return results(of: text, x.map(\.type), label: "barrier")
  }

  /// Begins a loop that runs while the first of its values is less than a limit; gives the values inside.
  fileprivate mutating func beginWhile(_ starts: [HLOValue], limit: HLOValue) -> [HLOValue] {
    let inside = starts.map { HLOValue(name: step("carried"), type: $0.type) }
    let pairs = zip(inside, starts).map { "\($0.name) = \($1.name)" }.joined(separator: ", ")
    let types = starts.map(\.type.description).joined(separator: ", ")
    beginRegion(label: "while", "stablehlo.while(\(pairs)) : \(types)", starts.map(\.type))
    emit(text: "cond {")
    let more = compare("LT", inside[0], limit)
    emit(text: "stablehlo.return \(more.name) : \(more.type)")
    emit(text: "} do {")
    return inside
  }

  /// Ends it with the next values; gives what it leaves.
  fileprivate mutating func endWhile(_ next: [HLOValue]) -> [HLOValue] {
    let types = next.map(\.type.description).joined(separator: ", ")
    emit(text: "stablehlo.return \(next.map(\.name).joined(separator: ", ")) : \(types)")
    return endRegion()
  }
}
