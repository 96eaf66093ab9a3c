internal import CLLVM

// Instructions of AVX-512's whole registers, for any number of f32 lanes.
extension Lanes {
  /// What lies above the whole number below, in `0...1`; 0 of infinities.
  func fraction() -> Lanes {
    let (down, quiet) = (ir.constant(bits: 1 | 8, ir.i32), ir.constant(bits: 4, ir.i32))
    return inRegisters { x in
      ir.call(intrinsic: "llvm.x86.avx512.mask.reduce.ps.512", [], [x[0], down, x[0], Self.allLanes(ir), quiet])
    }
  }

  /// Times 2 to the power of the whole number at or below `exponent`, rounded once where that is subnormal.
  func scaled(by exponent: Lanes) -> Lanes {
    let quiet = ir.constant(bits: 4, ir.i32)
    return inRegisters(exponent) { x in
      ir.call(intrinsic: "llvm.x86.avx512.mask.scalef.ps.512", [], [x[0], x[1], x[0], Self.allLanes(ir), quiet])
    }
  }

  /// Whether any lane is a number below 2^-126, and not 0.
  var hasSubnormals: LLVMValueRef {
    let subnormal = ir.constant(bits: 0x20, ir.i32)
    let found = registers().map {
      Lanes(ir.call(intrinsic: "llvm.x86.avx512.fpclass.ps.512", [], [$0, subnormal]), ir)
    }
    return ir.any(found.dropFirst().reduce(found[0]) { $0.or($1) })
  }

  private static func allLanes(_ ir: IRBuilder) -> LLVMValueRef { ir.constant(bits: -1, ir.i16) }

  private static let width = 16

  /// Whole registers, the last filled up with zeros.
  private func registers() -> [LLVMValueRef] {
    if count >= Self.width { return stride(from: 0, to: count, by: Self.width).map { ir.slice(ref, $0, Self.width) } }
    let zeros: LLVMValueRef = LLVMConstNull(ir.vector(ir.float, Self.width))
    return [(0..<count).reduce(zeros) { ir.insert(ir.extract(ref, lane: $1), into: $0, lane: $1) }]
  }

  /// One register after another.
  private func inRegisters(_ other: Lanes? = nil, _ body: ([LLVMValueRef]) -> LLVMValueRef) -> Lanes {
    let (own, others) = (registers(), other?.registers())
    let whole = ir.joined(own.indices.map { place in body([own[place]] + (others.map { [$0[place]] } ?? [])) })
    return Lanes(count < Self.width ? ir.slice(whole, 0, count) : whole, ir)
  }
}

extension IRBuilder {
  /// Whether `exp` is a power of 2 of a few instructions.
  var hasShortExp: Bool { profile.scalesByPowers && accuracy != .single }

  /// Vectors of the same length, a power of two of them, one after another.
  func joined(_ parts: [LLVMValueRef]) -> LLVMValueRef {
    if parts.count == 1 { return parts[0] }
    let half = parts.count / 2
    let (low, high) = (joined(Array(parts[..<half])), joined(Array(parts[half...])))
    return shuffle(low, high, Array(0..<2 * lanes(of: LLVMTypeOf(low))))
  }
}
