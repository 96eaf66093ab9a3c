import LTMIR

extension Lowering {
  /// The sum over all replicas, or whether any holds; the first replica's value is a sum where the others give zeros.
  mutating func allReduce(_ x: HLOValue, replicas: Int, _ operation: CollectiveOperation) -> HLOValue {
    guard replicas > 1 else { return x }
    let operand = operation == .first ? zeroBehindTheFirst(x) : x
    var wide = cast(operand, to: operand.dtype == .bool ? .bool : operand.dtype.accumulator)
    // Divided before it is summed, so that it overflows only where one replica's value does.
    if operation == .mean { wide = divide(wide, by: replicas) }
    let name = builder.step("all_reduce")
    let element = wide.type.scalar
    let region = [
      "^bb0(%a: \(element), %b: \(element)):",
      "  %total = stablehlo.\(wide.dtype == .bool ? "or" : "add") %a, %b : \(element)",
      "  stablehlo.return %total : \(element)",
    ].map { "\n        \($0)" }.joined()
    channels += 1
    builder.emit(
      line: "\"stablehlo.all_reduce\"(\(wide.name)) <{channel_handle = #stablehlo.channel_handle<handle = \(channels), "
        + "type = 0>, replica_groups = dense<[\(list(Array(0..<replicas)))]> : tensor<1x\(replicas)xi64>}> ({\(region)\n    }) : \(signature([wide], wide.type))",
      as: name)
    return cast(HLOValue(name: name, type: wide.type), to: x.dtype)
  }

  /// The number of the replica, an i32.
  mutating func replicaIndex() -> HLOValue {
    let number = builder.emit("replica_id", ": tensor<ui32>", HLOType(.i32, []))
    // The id is unsigned, which no dtype here is.
    let name = builder.step("convert")
    builder.emit(line: "stablehlo.convert \(number.name) : (tensor<ui32>) -> tensor<i32>", as: name)
    return HLOValue(name: name, type: HLOType(.i32, []))
  }

  private mutating func divide(_ x: HLOValue, by count: Int) -> HLOValue {
    builder.same("divide", x, builder.constant(Double(count), x.type))
  }

  private mutating func zeroBehindTheFirst(_ x: HLOValue) -> HLOValue {
    let index = replicaIndex()
    let isFirst = builder.compare("EQ", index, builder.constant(Int64(0), index.type))
    let everywhere = builder.broadcast(isFirst, to: x.type.shape, axes: [])
    return builder.select(everywhere, x, builder.constant(0.0, x.type))
  }
}
