import LTMIR
import LTMPrecision
import LTMRuntime
import LTMSupport

extension TrainingSession {
  /// Everything that the next step depends on, and what of the model's weights the step does not read. The bytes are read
  /// where they lie.
  func tensorsToSave(of model: Model) -> [TensorToSave] {
    let executable = executable
    return unreadWeights.sorted().compactMap { name in model.weight(name).map { TensorToSave(name, $0) } }
      + slots.compactMap { slot in
        slot.checkpointKey.map { key in
          let shape = slot.shard?.shape ?? slot.type.staticShape ?? []
          return TensorToSave(TensorEntry(name: key, dtype: slot.type.dtype, shape: shape)) { [self] body in
            guard slot.shard != nil else { return try executable.withBytes(of: slot.name, body) }
            try withCollectedBytes(of: slot, body)
          }
        }
      }
  }

  /// Goes on from a checkpoint, one tensor at a time. The loss scale may be absent: another opt level wrote the file.
  /// Gives a warning about what the file holds and the run does not read.
  func restore(_ file: SafetensorsFile, of model: inout Model) throws(LTMError) -> Diagnostic? {
    let held = Set(file.names)
    try checkNames(held, in: file)
    var counts: [String: Double] = [:]
    for slot in slots {
      guard let key = slot.checkpointKey, held.contains(key) else { continue }
      let tensor = try tensor(for: slot, key, in: file)
      try executable.write(tensor, to: slot.name)
      if slot.role == .control { counts[key] = tensor.doubles.first }
    }
    let names = (step: program.step.name(of: .step), attempt: program.step.name(of: .attempt))
    if let step = counts[names.step], let attempt = counts[names.attempt], step > attempt {
      throw LTMError("\(file.path): says \(step) updates in \(attempt) tries, which no run can have saved")
    }
    try writeCopies()
    try settleLossScale(file.metadata)
    let keys = Set(slots.compactMap(\.checkpointKey))
    for name in unreadWeights where held.contains(name) {
      let tensor = try reporting { try file.tensor(name) }
      try model.set([name: tensor], from: file.path)
      // A frozen weight is the model's, which the step reads.
      for slot in slots where slot.name == name { try executable.write(try initialValue(of: slot, model), to: name) }
    }
    return unexpected(held.subtracting(keys).subtracting(model.weightNames), in: file)
  }

  /// A warning about what the file holds and no step of the run reads.
  private func unexpected(_ names: Set<String>, in file: SafetensorsFile) -> Diagnostic? {
    let extra = names.filter { name in
      !name.hasPrefix("control/") && !name.hasSuffix("num_batches_tracked") && !keysElsewhere.contains(name)
    }
    guard !extra.isEmpty else { return nil }
    return Diagnostic(
      .warning,
      "\(file.path): holds \(listed(extra.sorted().prefix(20)))\(extra.count > 20 ? ", ..." : ""), which this run does not read",
      notes: ["another model or another optimizer wrote it"])
  }

  /// Throws where the file lacks what a run cannot do without: all of it at once.
  private func checkNames(_ held: Set<String>, in file: SafetensorsFile) throws(LTMError) {
    let missing = slots.compactMap { slot in
      slot.checkpointKey.flatMap { key in
        held.contains(key) || (slot.role == .control && key != program.step.name(of: .step)) ? nil : key
      }
    }
    guard !missing.isEmpty else { return }
    throw LTMError(
      "\(file.path): holds no \(listed(missing.prefix(20)))\(missing.count > 20 ? ", ..." : "")",
      notes: [
        "it was written by another model or optimizer, or holds weights only; '--weights \(file.path)' starts anew from weights"
      ])
  }

  /// What a checkpoint holds for a slot, in the slot's dtype.
  private func tensor(for slot: StateSlot, _ key: String, in file: SafetensorsFile) throws(LTMError) -> Tensor {
    let path = file.path
    let tensor = try reporting { try file.tensor(key) }
    guard tensor.shape == slot.shard?.shape ?? slot.type.staticShape,
      tensor.dtype.isFloating == slot.type.dtype.isFloating
    else {
      throw LTMError("\(path): '\(key)' is \(tensor.dtype)\(tensor.shape), and \(slot.type) is needed")
    }
    if slot.role == .control, !tensor.doubles.allSatisfy({ $0.isFinite && $0 >= 0 }) {
      throw LTMError("\(path): '\(key)' is \(tensor.summary), which no run can have saved")
    }
    let converted = try tensor.converted(to: slot.type.dtype, as: key, from: path)
    if converted.withUnsafeBytes({ isNonfinite(slot, $0) }) {
      throw LTMError(
        "\(path): '\(key)' is not finite, and no run can go on from it", notes: ["resume from an earlier checkpoint"])
    }
    return held(converted, slot)
  }

  /// What is printed as the loss scale is what runs: one that was asked for anew wins over the checkpoint's, and the bounds
  /// hold for the checkpoint's. A scale that moves goes on where it was.
  private func settleLossScale(_ metadata: [String: String]) throws(LTMError) {
    guard let held = try control(.lossScale) else { return }
    let saved = metadata[TrainingPlan.lossScaleKey].flatMap { try? LossScaling(parsing: $0) }
    let scale = DType.f32.round(policy.lossScale(resuming: held, from: saved))
    guard scale != held else { return }
    try set(.lossScale, scale)
    try set(.goodSteps, 0)
    try set(.skips, 0)
  }

  /// Puts the trained weights into the model.
  func store(in model: inout Model) throws(LTMError) {
    let names = Set(model.weightNames)
    for slot in slots {
      guard let key = slot.checkpointKey, names.contains(key) else { continue }
      try model.set([key: try whole(slot)])
    }
  }

  /// Storage for entries that read what is trained: the same arrays, or casts of them. What the step does not read is the
  /// model's.
  ///
  /// - Parameter others: the sessions of further losses, on the same arrays.
  func storageOfReaders(_ others: [TrainingSession]) -> SessionStorage {
    var trained: [String: SessionArray] = [:]
    let slots = ([self] + others).flatMap(\.slots)
    for slot in slots {
      guard let key = slot.checkpointKey else { continue }
      // Of a weight that is divided each rank has all as the forward pass reads it.
      let whole = slot.shard == nil ? slot : slots.first { $0.name == key } ?? slot
      if let array = storage[whole.name, whole.type.dtype] { trained[key] = array }
    }
    let unread = SessionStorage.Contents { [model] (name) throws(LTMError) in model.weight(name) }
    return SessionStorage(
      reading: storage, weights: trained, isAveraged: slots.contains { $0.name.hasPrefix("average/") },
      contents: unread)
  }
}

extension PrecisionPolicy {
  /// The scale that a resumed run begins with, where the checkpoint holds one that a run with `saved` left there.
  func lossScale(resuming held: Double, from saved: LossScaling?) -> Double {
    guard case .dynamic(let numbers) = level.lossScale else { return level.lossScale.initial }
    let startsAnew =
      switch saved {
      case .dynamic(let before): isLossScaleGiven && before.initial != numbers.initial
      case .off, .static: true
      case nil: false
      }
    return startsAnew ? numbers.initial : min(max(held, numbers.minimum), numbers.maximum)
  }
}
