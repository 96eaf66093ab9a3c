import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

/// What a run does with several ranks.
extension TrainingRun {
  /// The other processes, where there are some.
  var communicator: Communicator? { trainer.execution.communicator }
  /// Whether this process writes files.
  var writesFiles: Bool { communicator?.isFirst ?? true }

  /// Throws where ranks would not train the same thing on the same data.
  func requireAgreement() throws(LTMError) {
    guard let communicator, communicator.count > 1 else { return }
    try communicator.requireAgreement(try facts())
  }

  private func facts() throws(LTMError) -> [(name: String, value: String)] {
    var facts = [("version", LTMVersion.text)]
    facts.append(("the model", "'\(model.name)'"))
    let validation = data.validation.map { ("validation", $0.rows) }
    for (name, split) in [("train", data.train)] + validation + (data.test.map { [("test", $0)] } ?? []) {
      // What is read row by row, as images are, is known by its shape.
      for (key, shape) in split.shapes.sorted(by: { $0.key < $1.key }) where split.tensors[key] == nil {
        facts.append(("\(name) data '\(key)'", "rows of the shape \(shape)"))
      }
      for (key, tensor) in split.tensors.sorted(by: { $0.key < $1.key }) {
        facts.append(
          (
            "\(name) data '\(key)'",
            "\(tensor.dtype)\(tensor.shape), digest \(digestText(tensor.withUnsafeBytes(sampledDigest)))"
          ))
      }
    }
    facts.append(("precision", trainer.policy.description))
    facts.append(("a batch of", "\(plan.batchSize) rows, seed \(plan.seed), \(plan.totalAttempts) steps"))
    let steps = sessions.map { $0.program.lowered.forAnyRank.text }.joined(separator: "\n")
    facts.append(("a step of digest", digestText(stableHash(steps))))
    facts.append(("weights of digest", digestText(try digestOfWeights())))
    facts.append(("a checkpoint of", plan.checkpoint?.metadata[LoopState.key] ?? "no run"))
    return facts
  }

  /// Of all that the first step begins with and every rank has whole.
  private func digestOfWeights() throws(LTMError) -> UInt64 {
    var digest: UInt64 = 0
    for session in sessions {
      for slot in session.slots where slot.shard == nil && slot.role != .control {
        try session.executable.withBytes(of: slot.name) { bytes in
          digest = (digest &* 31) ^ sampledDigest(bytes)
        }
      }
    }
    return digest
  }

  /// Sends rank 0 what it writes of this rank's parts.
  func contribute() throws(LTMError) {
    let tensors = tensorsToSave()
    let divided = Set(sessions.flatMap(\.slots).filter { $0.shard != nil }.compactMap(\.checkpointKey))
    try reporting {
      for index in orderInFile(tensors) where divided.contains(tensors[index].entry.name) {
        try tensors[index].withBytes { _ in }
      }
    }
  }

  /// Whether values are divided among ranks.
  var isDivided: Bool { sessions.contains { $0.slots.contains { $0.shard != nil } } }

  /// What a rank found in its part, on all of them.
  func found(_ own: (session: TrainingSession, slot: StateSlot)?) throws(LTMError) -> (
    session: TrainingSession, slot: StateSlot
  )? {
    guard let communicator, isDivided else { return own }
    let names = try communicator.gather(own?.slot.name ?? "", "whether all weights are finite")
    guard let name = names.first(where: { !$0.isEmpty }) else { return nil }
    for session in sessions { if let slot = session.slots.first(where: { $0.name == name }) { return (session, slot) } }
    return own
  }

  /// What rank 0 says of what no rank may decide for itself: whether to stop, and how much time has gone by.
  ///
  /// - Parameter mayStop: whether it is asked to.
  mutating func agree(mayStop: Bool = true) throws(LTMError) {
    var values = [mayStop && trainer.stopRequested() ? 1 : 0, secondsHere]
    if let communicator { values = try communicator.ofFirst(values, "the end of a step") }
    agreed = (isStopped: values[0] != 0, seconds: values[1])
  }
}

private func digestText(_ value: UInt64) -> String { String(value, radix: 16) }

/// A digest of up to some 4 MB, evenly spaced.
private func sampledDigest(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
  let piece = 1 << 12
  let step = max(bytes.count / 1024, piece)
  var digest: UInt64 = 0xCBF2_9CE4_8422_2325
  for start in stride(from: 0, to: bytes.count, by: step) {
    for byte in bytes[start..<min(start + piece, bytes.count)] {
      digest = (digest ^ UInt64(byte)) &* 0x100_0000_01B3
    }
  }
  return digest
}

extension Graph {
  /// The same but for what differs from rank to rank.
  fileprivate var forAnyRank: Graph {
    func cleared(_ graph: Graph) -> Graph {
      var result = graph
      for index in graph.nodes.indices where graph.nodes[index].attributes["replica"] != nil {
        result.nodes[index].attributes["replica"] = .int(0)
      }
      return result
    }
    return cleared(mapBodies { cleared($0) })
  }
}
