package import CLLVM
import LTMIR

// Long sums. In one chain of additions each rounds off what the sum has grown beyond, and the error grows with the length.
// Here a chain is short, and what chains come to is added in short chains again: the error grows with the logarithm of the
// length. Where it is cut depends on the length alone.

/// What long sums are cut into.
package enum SumBlocks {
  /// Steps of the innermost loop, and how many blocks make one of the next level.
  static let steps = 16
  static let blocks = 4
  /// What is short enough for one chain.
  static let single = 32

  /// How sums of so many steps are put together: `nil` where one chain does.
  static func cut(_ merge: ((Lanes, Lanes) -> Lanes)?, steps: Int) -> ((Lanes, Lanes) -> Lanes)? {
    steps > single ? merge : nil
  }

  /// Steps of the blocks that a loop of so many is made of.
  static func span(of steps: Int) -> Int {
    var span = Self.steps
    while span * blocks < steps { span *= blocks }
    return span
  }
}

extension IRBuilder {
  /// A loop that adds up, in blocks of blocks.
  ///
  /// - Parameters:
  ///   - most: how many steps there are at most.
  ///   - start: what a sum begins with: neutral.
  ///   - merge: adds two sums; `nil` where one chain is as good.
  package func sums(
    from: LLVMValueRef, to: LLVMValueRef, step: Int = 1, most: Int, start: [LLVMValueRef],
    merge: ((Lanes, Lanes) -> Lanes)?, _ body: (_ i: LLVMValueRef, _ carried: [LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    guard let merge, most > SumBlocks.single else { return loop(from: from, to: to, step: step, carrying: start, body) }
    let span = SumBlocks.span(of: most)
    return loop(from: from, to: to, step: span * step, carrying: start) { first, totals in
      let end = minimum(add(first, index(span * step)), to)
      let parts = sums(from: first, to: end, step: step, most: span, start: start, merge: merge, body)
      return zip(totals, parts).map { merge(Lanes($0, self), Lanes($1, self)).ref }
    }
  }

  /// The same between known bounds, where the innermost blocks have a known length too: the compiler unrolls them.
  package func sums(
    _ range: Range<Int>, step: Int = 1, start: [LLVMValueRef], merge: ((Lanes, Lanes) -> Lanes)?,
    _ body: (_ i: LLVMValueRef, _ carried: [LLVMValueRef]) -> [LLVMValueRef]
  ) -> [LLVMValueRef] {
    let most = (range.count + step - 1) / step
    guard let merge, most > SumBlocks.single else { return loop(range, step: step, carrying: start, body) }
    let block = SumBlocks.steps * step
    let whole = range.lowerBound + range.count / block * block
    let totals = sums(
      from: index(range.lowerBound), to: index(whole), step: block, most: most / SumBlocks.steps, start: start,
      merge: merge
    ) { first, totals in
      let part = loop(from: first, to: add(first, index(block)), step: step, carrying: start, body)
      return zip(totals, part).map { merge(Lanes($0, self), Lanes($1, self)).ref }
    }
    return loop(whole..<range.upperBound, step: step, carrying: totals, body)
  }

  /// How two parts of a reduction are put together, where it matters how many there are: where numbers are rounded.
  package func merge(_ combiner: Combiner, _ dtype: DType) -> ((Lanes, Lanes) -> Lanes)? {
    guard dtype.isFloating else { return nil }
    return switch combiner {
    case .add, .multiply: { self.combine(combiner, $0, $1, dtype) }
    case .maximum, .minimum, .and, .or: nil
    }
  }
}
