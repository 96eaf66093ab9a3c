import LTMRuntime

extension Trainer {
  /// What training reads, the model's own files and data included.
  func inputs(of model: Model) -> [FileUse] {
    let isOfFolder = options.saveDir != nil && (resumePath == "last" || resumePath == "best")
    let resumed = isOfFolder ? [] : resumePath.map { [FileUse("the checkpoint that is resumed", $0)] } ?? []
    let validation = (options.valData ?? []).map { FileUse("the validation data", DataFields.named($0).path) }
    return model.sourceFiles + validation + (dataPath.map(dataUses) ?? [])
      + (isSavedWhereResumed ? [] : resumed)
  }

  /// What training writes.
  var outputs: [FileUse] {
    [savePath.map { FileUse("the checkpoint", $0) }, dumpPath.map { FileUse("the dump", $0, isDump: true) }]
      .compactMap(\.self)
  }

  /// A run may go on in the file that it came from.
  private var isSavedWhereResumed: Bool {
    guard let savePath, let resumePath else { return false }
    return isSameFile(savePath, resumePath)
  }
}
