import LTMFrontEnd
import LTMIR
import LTMRuntime
import LTMSupport

extension Model {
  /// Takes weights from a checkpoint of ours or of PyTorch's: `.safetensors` (or the index of several), `.npz`, `.pt`, `.pth`,
  /// `.bin`; `run.pt:ema` is one of several state dicts in a file, of which nothing is called. Every parameter and state must
  /// be there with its shape, but where the loading is partial. Gives warnings about what the file holds beside them, which
  /// the model does not read, about numbers that are not finite, and about weights that keep their initial values.
  @discardableResult
  public mutating func load(
    weightsFrom path: String, _ loading: WeightLoading = WeightLoading()
  ) throws(LTMError) -> [Diagnostic] {
    let archive = try mapped(reporting { try openTensors(path) })
    var loading = loading
    loading.ignored += try weightRules().ignored
    let (held, others) = try sortedNames(archive, loading)
    let missing = weightNames.filter { held[$0] == nil }
    var loaded: [String: Tensor] = [:]
    for (name, place) in held { loaded[name] = try reporting { try archive.tensor(place) } }
    let misshapen = weightNames.filter { name in loaded[name].map { $0.shape != spec(name)?.shape } ?? false }
    let lacks = !missing.isEmpty && !loading.isPartial
    let unexpected = others.filter { !loading.ignores($0) && !isOfTraining($0) }
    if lacks {
      throw LTMError(missingWeights(missing, misshapen.map { shapes($0, loaded) }, others, unexpected, in: archive))
    }
    guard !(loading.isPartial && loaded.isEmpty) else {
      throw LTMError(missingWeights(missing, [], others, unexpected, in: archive))
    }
    if misshapen.count > 1 { throw LTMError(misshapenWeights(misshapen.map { shapes($0, loaded) }, path)) }
    try set(loaded, from: path)
    if !loading.isPartial, let file = archive as? SafetensorsFile {
      categories = SavedCategories.read(file.metadata) ?? categories
    }
    return archive.warnings
      + [unexpectedWeights(unexpected, in: archive), keptWeights(missing, path), nonfiniteWeights(from: path)]
      .compactMap { $0 }
  }

  /// For each weight of the model that the file holds, its name there; and the file's other names.
  private func sortedNames(
    _ archive: any TensorArchive, _ loading: WeightLoading
  ) throws(LTMError) -> (held: [String: String], others: [String]) {
    let known = Set(weightNames)
    var (held, others): ([String: String], [String]) = ([:], [])
    for name in archive.names {
      let renamed = loading.renamed(name)
      guard known.contains(renamed) else {
        others.append(renamed)
        continue
      }
      if let other = held.updateValue(name, forKey: renamed) {
        throw LTMError(
          "\(archive.path): '\(other)' and '\(name)' are both renamed to '\(renamed)'",
          notes: ["a rename that ends in a star, or a longer one, tells them apart"])
      }
    }
    return (held, others)
  }

  private func shapes(_ name: String, _ loaded: [String: Tensor]) -> String {
    guard let tensor = loaded[name], let spec = spec(name) else { return name }
    return "'\(name)' is \(tensor.dtype)\(tensor.shape), and the model's is \(spec.storedDType)\(spec.shape)"
  }

  /// Replaces weights; names and shapes must be the model's, floats are converted.
  public mutating func set(_ tensors: [String: Tensor], from origin: String = "the weights given") throws(LTMError) {
    var converted: [String: Tensor] = [:]
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      guard let spec = spec(name) else {
        throw LTMError("\(origin): the model has no parameter '\(name)'", notes: ["it has \(listed(weightNames))"])
      }
      let dtype = spec.storedDType
      guard tensor.shape == spec.shape, tensor.dtype.isFloating == dtype.isFloating else {
        throw LTMError(
          "\(origin): '\(name)' is \(tensor.dtype)\(tensor.shape), and the model's is \(dtype)\(spec.shape)",
          notes: ["a model argument, as --set hidden=256, may make them agree"])
      }
      // An f64 keeps its digits for a run with precision 64.
      let keeps = tensor.dtype == .f64 && spec.dtype == .float
      converted[name] = keeps ? tensor : try tensor.converted(to: dtype, as: name, from: origin)
    }
    replace(converted)
  }

  /// Saves the weights under PyTorch's names, whole or not at all. Weights that are not finite are not saved.
  public func save(to path: String) throws(LTMError) {
    try reporting {
      try checkOutputs([FileUse("the checkpoint", path)], inputs: sourceFiles)
    }
    let ordered = weightNames.compactMap { name in weight(name).map { TensorToSave(name, $0) } }
    if let bad = try firstNonfinite(of: ordered) {
      throw LTMError("\(path): nothing is saved, since '\(bad)' is not finite", notes: ["the file is as it was"])
    }
    var texts = ["ltm.model": self.name]
    texts[SavedCategories.key] = categories.map(SavedCategories.text)
    try reporting { [texts] in try writeSafetensors(path, ordered, metadata: texts) }
  }

  /// The name of the first tensor that no checkpoint should hold.
  func firstNonfinite(of tensors: [TensorToSave]) throws(LTMError) -> String? {
    for tensor in tensors {
      var isBad = false
      try reporting {
        try tensor.withBytes { isBad = isNonfinite(tensor.entry.name, $0, tensor.entry.dtype) }
      }
      if isBad { return tensor.entry.name }
    }
    return nil
  }

  /// Whether a weight, a state or the optimizer's is one that no good run leaves here. A state whose initial value is
  /// infinite on purpose may be so still.
  func isNonfinite(_ name: String, _ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Bool {
    guard let index = firstNonFinite(bytes, dtype) else { return false }
    guard let state = program.states.first(where: { $0.name == name }), case .constant(let value) = state.initializer,
      value.isInfinite
    else { return true }
    return hasNaN(UnsafeRawBufferPointer(rebasing: bytes[(index * dtype.byteCount)...]), dtype)
  }

  /// The files that the model came from, and the data of its `train` block: what no output may be written over.
  package var sourceFiles: [FileUse] {
    file.paths.map { FileUse($0 == path ? "the model" : "an import of the model", $0) }
      + (settings?.data.map { data in dataUses(data.value) } ?? [])
      + (settings?.options["tokenizer"].map { [FileUse("the tokenizer", $0.value)] } ?? [])
  }
}

// MARK: what a file of weights lacks, or holds beside them

extension Model {
  private func missingWeights(
    _ missing: [String], _ misshapen: [String], _ others: [String], _ extra: [String], in archive: any TensorArchive
  ) -> Diagnostic {
    let shown = missing.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (missing.count > 20 ? ", ..." : "")
    if let prefix = commonPrefix(others, missing) {
      return Diagnostic(
        .error, "\(archive.path): every name in it begins with '\(prefix)', which the model's names do not",
        notes: [
          "drop it: --rename '\(prefix.dropLast()) -> '", "the model has \(shown)",
        ])
    }
    let list = extra.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (extra.count > 20 ? ", ..." : "")
    let further =
      misshapen.prefix(20) + [
        "--rename 'FROM -> TO' says how names of the file become the model's, --partial keeps initial values for the rest"
      ]
    return Diagnostic(
      .error,
      "\(archive.path): holds no tensor \(shown)"
        + (missing.count > 1 ? ": \(missing.count) of the model's \(weightNames.count) are missing" : ""),
      notes: [
        extra.isEmpty
          ? "it holds nothing that the model does not have" : "it holds \(list), which the model does not have"
      ] + further)
  }

  private func misshapenWeights(_ texts: [String], _ path: String) -> Diagnostic {
    Diagnostic(
      .error, "\(path): \(texts[0]); \(texts.count) of the weights have other shapes than the model's",
      notes: texts.dropFirst().prefix(20) + ["a model argument, as --set hidden=256, may make them agree"])
  }

  private func keptWeights(_ missing: [String], _ path: String) -> Diagnostic? {
    guard !missing.isEmpty else { return nil }
    let list = missing.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (missing.count > 20 ? ", ..." : "")
    return Diagnostic(
      .warning,
      "\(path): lacks \(missing.count) of the model's \(weightNames.count) weights, which keep their initial values",
      notes: ["they are \(list)"])
  }

  /// What stands before the first names' points, where every name of the file has it and the rest is a name of the model.
  private func commonPrefix(_ names: [String], _ missing: [String]) -> String? {
    guard let first = names.first else { return nil }
    for index in first.indices where first[index] == "." {
      let prefix = String(first[...index])
      guard names.allSatisfy({ $0.hasPrefix(prefix) }) else { return nil }
      let stripped = Set(names.map { String($0.dropFirst(prefix.count)) })
      if missing.allSatisfy(stripped.contains) { return prefix }
    }
    return nil
  }

  private func unexpectedWeights(_ extra: [String], in archive: any TensorArchive) -> Diagnostic? {
    guard !extra.isEmpty else { return nil }
    let list = extra.prefix(20).map { "'\($0)'" }.joined(separator: ", ") + (extra.count > 20 ? ", ..." : "")
    return Diagnostic(
      .warning, "\(archive.path): holds \(list), which the model does not have and does not read",
      notes: [
        "a model that is the file's own has them: another would give other results",
        "--ignore 'path.**' says which are meant to be left out",
      ])
  }

  /// What a run keeps beside the weights, and PyTorch's count of batches, which nothing reads.
  private func isOfTraining(_ name: String) -> Bool {
    name.hasPrefix("control/") || name.hasPrefix("carry/") || name.hasPrefix("optimizer/")
      || name.hasSuffix("num_batches_tracked")
  }

  private func nonfiniteWeights(from path: String) -> Diagnostic? {
    for name in weightNames {
      guard let tensor = weight(name), let index = firstNonFinite(tensor),
        tensor.withUnsafeBytes({ isNonfinite(name, $0, tensor.dtype) })
      else { continue }
      return Diagnostic(
        .warning, "\(path): '\(name)' holds \(elementText(tensor, index)) as element \(index)",
        notes: ["what is computed from it is most likely not finite either"])
    }
    return nil
  }
}

extension Tensor {
  /// The tensor in a dtype that holds each of its numbers: floats may be rounded, nothing else.
  func converted(to other: DType, as name: String, from origin: String? = nil) throws(LTMError) -> Tensor {
    let (tensor, lost) = convert(self, to: other)
    guard let lost else { return tensor }
    let place = (origin.map { "\($0): " } ?? "") + "'\(name)' holds \(elementText(self, lost)) as element \(lost)"
    guard other.isFloating else {
      throw LTMError(
        "\(place), which is no \(other)",
        notes: ["a conversion to \(other) must be exact: use a wider dtype, or other values"])
    }
    throw LTMError(
      "\(place), and \(other) ends at \(other.greatestFinite)", notes: ["scale the values, or use a wider precision"])
  }
}

/// The files of data that a path means, as inputs.
func dataUses(_ path: String) -> [FileUse] {
  ((try? dataFiles(path)) ?? [path]).map { FileUse("the data", $0) }
}
