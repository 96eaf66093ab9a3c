import LTMIR
import LTMKernels

// What a kernel's formulas say beyond their instructions one by one. Depends on the kernel alone, so that every place that
// computes an expression (a vector, a tail, a packed panel) rounds it alike.

/// Products that become part of a multiply-add, exponentials whose least results do not count, and what is read only once.
struct FormulaFacts {
  /// For each expression, whether it is a product that only one addition reads.
  private(set) var isFused: [Bool]
  /// For each expression, whether it is an `exp` that is only added to numbers beside which 2^-126 is nothing.
  private(set) var mayFlush: [Bool]
  /// For each expression, whether it is an `exp` that is only added to positive numbers: few digits of it are digits of the sum.
  private(set) var isAddend: [Bool]
  /// For each expression, whether one other reads it, and nothing else.
  private(set) var isReadOnce: [Bool]

  /// - Parameter isPlain: whether each instruction rounds for itself, as it would in a kernel of its own: which kernels values
  ///   share then decides no bit.
  init(_ kernel: Kernel, isPlain: Bool = false) {
    let expressions = kernel.expressions
    var users = [[Int]](repeating: [], count: expressions.count)
    var isRoot = [Bool](repeating: false, count: expressions.count)
    for (index, expression) in expressions.enumerated() {
      for operand in expression.operands { users[operand.index].append(index) }
    }
    for root in kernel.body.flatMap(\.roots) { isRoot[root.index] = true }
    isFused = [Bool](repeating: false, count: expressions.count)
    (mayFlush, isAddend) = (isFused, isFused)
    isReadOnce = expressions.indices.map { users[$0].count == 1 && !isRoot[$0] }
    if isPlain { return }
    for index in expressions.indices where !isRoot[index] {
      if isReadOnce[index], Self.isProduct(index, kernel) {
        isFused[index] = Self.takesOneProduct(users[index][0], kernel)
      }
      guard Self.applies(.exp, index, kernel), !users[index].isEmpty else { continue }
      let numbers = users[index].map { Self.addedNumber($0, kernel) }
      mayFlush[index] = numbers.allSatisfy { abs($0) >= 0x1p-64 }
      isAddend[index] = numbers.allSatisfy { $0 >= 0x1p-64 }
    }
  }

  private static func applies(_ primitive: Primitive, _ index: Int, _ kernel: Kernel) -> Bool {
    guard case .apply(primitive, _, let dtype) = kernel.expressions[index] else { return false }
    return dtype.isFloating
  }

  private static func isProduct(_ index: Int, _ kernel: Kernel) -> Bool { applies(.mul, index, kernel) }

  /// An addition or subtraction with one product. With two, one of them would be rounded and the other not: `a*a - b*b`
  /// would no longer be 0 where a is b.
  private static func takesOneProduct(_ index: Int, _ kernel: Kernel) -> Bool {
    guard applies(.add, index, kernel) || applies(.sub, index, kernel) else { return false }
    return kernel.expressions[index].operands.count { isProduct($0.index, kernel) } == 1
  }

  /// The number that an addition adds; 0 where it is none.
  private static func addedNumber(_ index: Int, _ kernel: Kernel) -> Double {
    guard applies(.add, index, kernel) else { return 0 }
    return kernel.expressions[index].operands.reduce(0) { found, operand in
      if case .constant(let value, _) = kernel[operand] { value } else { found }
    }
  }
}
