import LTMIR
import LTMSupport

// Arguments of convolutions and pools: a number for each spatial axis, and padding that is said in a word.

extension Elaborator {
  /// An Int for each axis, of one Int or as many; `nil` where the value is none of these.
  func sizes(_ value: Value, _ count: Int) -> Attribute? {
    let numbers = value.items.compactMap(\.constantInteger)
    guard numbers.count == value.items.count else { return nil }
    if !value.isSequence { return .ints([Int](repeating: numbers[0], count: count)) }
    return numbers.count == count ? .ints(numbers) : nil
  }

  /// Likewise; of a word what `settleWindows` makes numbers of.
  func padding(_ value: Value, _ count: Int) -> Attribute? {
    switch value.kind {
    case .string("valid"): return .ints([Int](repeating: 0, count: count))
    case .string("same"): return .bool(true)
    default:
      guard case .ints(let numbers)? = sizes(value, count), numbers.allSatisfy({ $0 >= 0 }) else { return nil }
      return .ints(numbers)
    }
  }

  /// Makes numbers of the padding `"same"`, which keeps sizes: as much before as after, or one more after. False after an error.
  func settleWindows(_ call: inout OpCall, _ bound: [[Given]]) -> Bool {
    guard call.attributes.bool("padding") == true, call.operands.count >= 2 else { return true }
    let place = zip(call.op.definition.callSignature, bound).first { $0.0.name == "padding" }?.1.first?.span
    let taps = builder.type(call.operands[1].id).shape.dropFirst(2).map(\.constant)
    guard let stride = call.attributes.ints("stride"), let dilation = call.attributes.ints("dilation"),
      stride.allSatisfy({ $0 == 1 })
    else {
      fail(
        "padding \"same\" keeps the sizes, and a stride changes them", at: place ?? call.span,
        notes: ["give the padding as numbers"])
      return false
    }
    var padding: [Int] = []
    for (size, step) in zip(taps, dilation) {
      let all = max((size ?? 1) - 1, 0).multipliedReportingOverflow(by: step)
      padding += [all.partialValue / 2, all.partialValue - all.partialValue / 2]
    }
    if padding.count < 2 * stride.count { padding = stride.map { _ in 0 } }
    call.attributes["padding"] = .ints(padding)
    return true
  }
}
