import LTMIR
import LTMKernels

// Contractions too thin for tiles: a matrix times a vector, or times a few. What bounds them is how fast the matrix is read, so
// several vectors share what is read of it.

/// A contraction over one axis as a matrix and vectors: the matrix has an axis of its own, the vectors have none or another.
private struct ThinContraction {
  let depth: Int
  let matrix: ScalarID
  let matrixAxis: Int
  let vector: ScalarID
  /// `nil` where there is one vector.
  let vectorAxis: Int?

  /// The contraction, the operand that varies along the innermost such axis taken for the matrix, or the other one.
  init?(_ kernel: FlatKernel, isInnermost: Bool) {
    guard case .contraction(_, let over, let lhs, let rhs) = kernel.kernel.form, over.count == 1,
      kernel.kernel.body.dropFirst().allSatisfy({ if case .store = $0 { true } else { false } })
    else { return nil }
    let (left, right) = (kernel.dependencies[lhs.index], kernel.dependencies[rhs.index])
    let own = { (a: Set<Int>, b: Set<Int>) in kernel.domain.last { a.contains($0) && !b.contains($0) } }
    let (a, b) = (own(left, right), own(right, left))
    guard a != b else { return nil }
    let takesLeft = ((a ?? -1) > (b ?? -1)) == isInnermost
    guard let matrixAxis = takesLeft ? a : b else { return nil }
    depth = over[0].index
    (matrix, vector) = takesLeft ? (lhs, rhs) : (rhs, lhs)
    self.matrixAxis = matrixAxis
    vectorAxis = takesLeft ? b : a
  }

  /// How many loads of an operand step over elements along an axis.
  func stray(_ kernel: FlatKernel, _ operand: ScalarID, along axis: Int) -> Int {
    kernel.closure(of: [operand]).compactMap { kernel.loads[$0] }.count { !(0...1 ~= $0.form.strides[axis]) }
  }
}

extension Scheduler {
  func product() -> Schedule? {
    for isInnermost in [true, false] {
      if let thin = ThinContraction(kernel, isInnermost: isInnermost), let axpy = axpy(thin) { return axpy }
    }
    return ThinContraction(kernel, isInnermost: true).flatMap(dots)
  }

  /// A product whose order along the depth depends on the depth alone: lanes along it, or line by line of it, in one order
  /// for one vector and for many.
  func orderedProduct() -> Schedule? {
    guard let thin = ThinContraction(kernel, isInnermost: true) else { return nil }
    return axpy(thin) ?? dots(thin)
  }

  private func points(apartFrom thin: ThinContraction) -> Int {
    kernel.points(kernel.domain.filter { $0 != thin.matrixAxis && $0 != thin.vectorAxis })
  }

  /// As few blocks of at most `limit` as there can be, in even shares.
  private func share(_ extent: Int, _ limit: Int) -> Int {
    let blocks = (extent + limit - 1) / limit
    return blocks == 0 ? 1 : (extent + blocks - 1) / blocks
  }

  /// A matrix that lies across the depth: its lines, times a number of each vector, are added up.
  private func axpy(_ thin: ThinContraction) -> Schedule? {
    guard case .contraction(let local, _, _, _) = kernel.kernel.form else { return nil }
    let (extent, depth) = (kernel.extent(thin.matrixAxis), kernel.extent(thin.depth))
    let bytes = kernel.kernel[local].dtype.byteCount
    let lanes = 2 * profile.vectorBytes / bytes
    guard registerLanes * bytes == profile.vectorBytes, extent >= lanes, depth >= 4,
      thin.stray(kernel, thin.matrix, along: thin.matrixAxis) == 0,
      thin.stray(kernel, thin.matrix, along: thin.depth) > 0
    else { return nil }
    let vectorExtent = thin.vectorAxis.map(kernel.extent) ?? 1
    let vectors = share(vectorExtent, 3)
    let rest = points(apartFrom: thin) * ((vectorExtent + vectors - 1) / vectors)
    // Long runs of each line, short enough for some tasks and for the sums to stay in the first cache.
    let block = min(Self.axpyBlock, max(roundUp(extent * rest / 16, lanes), 8 * lanes))
    let blocks = (extent + block - 1) / block
    let perTask = max(1, taskWork / (vectors * min(block, extent) * depth))
    let numbers = Schedule.Axpy(
      lanes: lanes, block: block, vectors: vectors, lines: lines(vectors), isDouble: bytes == 8,
      matrixAxis: thin.matrixAxis,
      vectorAxis: thin.vectorAxis, blocksPerTask: perTask)
    return Schedule(
      strategy: .axpy(numbers), taskCount: (rest * blocks + perTask - 1) / perTask,
      scratchBytes: roundUp(vectors * block * bytes, 64))
  }

  private static let axpyBlock = 1024

  /// Lines of the matrix that are added together: their factors of all vectors stay in registers.
  private func lines(_ vectors: Int) -> Int {
    let factors = profile.vectorRegisters / 2
    if profile.keepsOrder { return factors / 4 }
    return vectors == 1 ? min(8, factors) : vectors == 2 ? factors / 2 : factors / 4
  }

  /// Operands that lie along the depth, or too few of them to matter: blocks of rows and vectors share what they read.
  private func dots(_ thin: ThinContraction) -> Schedule? {
    guard thin.matrixAxis == kernel.domain.last else { return nil }
    let (extent, depth) = (kernel.extent(thin.matrixAxis), kernel.extent(thin.depth))
    let vectorExtent = thin.vectorAxis.map(kernel.extent) ?? 1
    if profile.keepsOrder { return blocks(of: thin) }
    let isShort = extent < registerLanes && depth >= 4 * registerLanes
    guard !prefersColumns || (isShort && thin.stray(kernel, thin.vector, along: thin.depth) == 0) else { return nil }
    let rowsNumbers = Schedule.Rows(lanes: registerLanes, pointsPerTask: 1)
    if vectorExtent == 1 {
      // With nothing to widen there is little to share, and one row at a time is read in longer runs; pairs are as fast.
      guard isWidened(thin), !kernel.allowsPairs(profile, .rows(rowsNumbers)) else { return nil }
    }
    return blocks(of: thin)
  }

  /// How much of the matrix is asked for ahead where it is read line by line: 8 KB, which memory needs here.
  private static let streamedAhead = 8192
  /// Shorter lines are read side by side.
  private static let streamedLine = 1024

  private func blocks(of thin: ThinContraction) -> Schedule? {
    guard case .contraction(let local, _, _, _) = kernel.kernel.form else { return nil }
    let (extent, depth) = (kernel.extent(thin.matrixAxis), kernel.extent(thin.depth))
    let vectorExtent = thin.vectorAxis.map(kernel.extent) ?? 1
    // A wider scalar inside an operand would need more registers than the sums'.
    guard depth >= 2 * registerLanes, registerLanes == profile.vectorBytes / kernel.kernel[local].dtype.byteCount else {
      return nil
    }
    let line = depth * (kernel.closure(of: [thin.matrix]).compactMap { bytes(of: $0) }.first ?? 4)
    let isStream = vectorExtent == 1 && line >= Self.streamedLine
    let rows = share(extent, isStream ? 1 : profile.keepsOrder && vectorExtent > 1 ? 2 : 4)
    let vectors = share(vectorExtent, profile.vectorRegisters / 8)
    let blocks = points(apartFrom: thin) * ((extent + rows - 1) / rows) * ((vectorExtent + vectors - 1) / vectors)
    let perTask = max(1, taskWork / (rows * vectors * depth))
    return Schedule(
      strategy: .product(
        .init(
          lanes: registerLanes, rows: rows, vectors: vectors, rowAxis: thin.matrixAxis, vectorAxis: thin.vectorAxis,
          ways: isStream && !profile.keepsOrder ? 4 : 2, keepsWays: profile.keepsOrder || isStream,
          ahead: isStream ? max(1, Self.streamedAhead / line) : rows, blocksPerTask: perTask)),
      taskCount: (blocks + perTask - 1) / perTask, scratchBytes: 0)
  }

  private func bytes(of expression: Int) -> Int? {
    kernel.loads[expression].map { kernel.kernel[$0.buffer].dtype.byteCount }
  }

  private func isWidened(_ thin: ThinContraction) -> Bool {
    kernel.closure(of: [thin.matrix, thin.vector]).contains { place in
      kernel.loads[place].map { kernel.kernel[$0.buffer].dtype.byteCount < 4 } ?? false
    }
  }
}
