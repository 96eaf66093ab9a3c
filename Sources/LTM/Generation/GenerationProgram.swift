import LTMGraphPasses
import LTMIR
import LTMSupport

/// An entry that generation calls, compiled for so many rows and places of each, with what a call reads and writes. Nothing
/// is allocated while it runs. One caller at a time, who holds the session's lock.
final class GenerationProgram: @unchecked Sendable {
  private let entry: GenerationEntry
  private let executable: any Executable
  let rows: Int
  let places: Int
  /// The reads of computed indices, each with the output that counts those outside.
  private let reads: [IndexRead]
  private let dtype: DType
  /// The scores of all rows, once it has run.
  private(set) var scores: [Double]

  init(
    _ entry: GenerationEntry, rows: Int, places: Int, _ policy: PrecisionPolicy, _ backend: any Backend,
    in storage: SessionStorage
  ) throws(LTMError) {
    (self.entry, self.rows, self.places) = (entry, rows, places)
    let cast = try Pipeline.inferenceCasts([entry.rows: rows, entry.places: places], policy).run(entry.graph)
    reads = cast.computedIndexReads
    let settled = try Pipeline.lowering.run(cast.countingOutside, stage: [.bound, .afterCasts])
    dtype = settled.outputs.first { $0.name == entry.result }.map { settled[$0.value].type.dtype } ?? .f32
    executable = try backend.compile(settled, in: storage)
    scores = [Double](repeating: 0, count: rows * entry.vocabulary)
  }

  var memory: MemoryUse { executable.memory }

  /// Reads some tokens of each row, which begin at its position.
  ///
  /// - Parameters:
  ///   - token: of a row at a place of this call.
  ///   - last: the place whose scores are wanted.
  func run(
    token: (_ row: Int, _ place: Int) -> Int, position: (_ row: Int) -> Int, last: (_ row: Int) -> Int
  ) throws(LTMError) {
    try fill(entry.tokens, rows * places) { token($0 / places, $0 % places) }
    try fill(entry.position, rows, position)
    try fill(entry.last, rows, last)
    try executable.run()
    for (number, read) in reads.enumerated() {
      var outside = 0
      try executable.withBytes(of: Graph.outsideCount(number)) { outside = Int($0.load(as: Int32.self)) }
      if outside > 0 { throw LTMError(read.error(outside: outside)) }
    }
    try readScores()
  }

  private func fill(_ name: String, _ count: Int, _ value: (Int) -> Int) throws(LTMError) {
    try executable.fill(name) { bytes in
      let numbers = bytes.bindMemory(to: Int32.self)
      for index in 0..<count { numbers[index] = Int32(clamping: value(index)) }
    }
  }

  private func readScores() throws(LTMError) {
    let (count, dtype) = (scores.count, dtype)
    try executable.withBytes(of: entry.result) { bytes in
      switch dtype {
      case .f32:
        for index in 0..<count { scores[index] = Double(bytes.load(fromByteOffset: 4 * index, as: Float.self)) }
      case .f64: for index in 0..<count { scores[index] = bytes.load(fromByteOffset: 8 * index, as: Double.self) }
      case _:
        let tensor = Tensor(dtype: dtype, shape: [count], bytes: Array(bytes))
        scores = tensor?.doubles ?? scores
      }
    }
  }
}

extension IndexRead {
  /// What to say where generation meets such indices.
  fileprivate func error(outside: Int) -> Diagnostic {
    var error = warning(outside: outside)
    error.severity = .error
    return error
  }
}
