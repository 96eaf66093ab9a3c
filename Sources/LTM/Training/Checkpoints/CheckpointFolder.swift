import Glibc
import LTMRuntime
import LTMSupport

/// The checkpoints of a run: the last one, and the best by a metric.
struct CheckpointFolder {
  /// A checkpoint that is kept for what the metric was.
  struct Kept: Hashable {
    let name: String
    let value: Double
    let step: Int
  }

  /// The folder; `nil` where only single files are written.
  private let folder: String?
  private let limit: Int
  private let template: String
  /// The best, in order.
  private(set) var kept: [Kept] = []
  /// Names that were among them, and whose files are still there.
  private var dropped: [String] = []

  /// - Parameter writes: whether this process writes what is kept; others know of it.
  init(_ options: TrainingOptions, isMonitored: Bool, writes: Bool = true) throws(LTMError) {
    folder = options.saveDir
    template = options.saveName ?? "{epoch}-{step}"
    limit = isMonitored ? options.saveTopK ?? 1 : 0
    guard !template.contains("/"), Self.isTemplate(template) else {
      throw LTMError(
        "'\(template)' is no name for a checkpoint",
        notes: ["as in '{epoch}-{step}-{val_loss:.3f}', in the folder of --save-dir"])
    }
    guard let folder else {
      guard options.saveTopK == nil, options.saveName == nil else {
        throw LTMError("the best checkpoints need a folder", notes: ["name it, as in --save-dir checkpoints"])
      }
      return
    }
    if !writes { return }
    try reporting {
      try makeFolder(folder)
      try checkWritable(lastPath ?? folder)
    }
  }

  /// Where the last checkpoint is.
  var lastPath: String? { folder.map { Self.last(in: $0) } }

  static func last(in folder: String) -> String { "\(folder)/last.safetensors" }

  /// A checkpoint's path.
  func path(_ name: String) -> String { "\(folder ?? ".")/\(name)" }

  /// The name of a checkpoint with this value, where it is among the best: it is then one of them.
  mutating func admit(
    _ value: Double, by monitor: Monitor, epoch: Int, step: Int, _ reports: [NamedValue]
  ) -> String? {
    guard folder != nil, limit != 0, !value.isNaN else { return nil }
    if limit > 0, kept.count >= limit, let worst = kept.last, !monitor.isBetter(value, than: worst.value) { return nil }
    let name = Self.filled(template, epoch: epoch, step: step, reports) + ".safetensors"
    kept.removeAll { $0.name == name }
    let place = kept.firstIndex { monitor.isBetter(value, than: $0.value) } ?? kept.endIndex
    kept.insert(Kept(name: name, value: value, step: step), at: place)
    while limit > 0, kept.count > limit { dropped.append(kept.removeLast().name) }
    dropped.removeAll { $0 == name }
    return name
  }

  /// Removes what is no longer among the best. Not before a checkpoint that no longer names it is on the disk.
  ///
  /// - Parameter writesFiles: whether this process does so; others only forget them.
  mutating func removeDropped(_ writesFiles: Bool) {
    if writesFiles { for name in dropped { unlink(path(name)) } }
    dropped = []
  }

  // MARK: Names

  private static func isTemplate(_ text: String) -> Bool {
    !text.isEmpty && !text.hasPrefix(".") && text.count(where: { $0 == "{" }) == text.count(where: { $0 == "}" })
  }

  /// A template with its values in place: `{step}`, `{val_loss:.3f}`.
  static func filled(_ template: String, epoch: Int, step: Int, _ values: [NamedValue]) -> String {
    var (text, rest) = ("", template[...])
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      let parts = rest[rest.index(after: open)..<close].split(separator: ":", maxSplits: 1).map(String.init)
      text += rest[..<open]
      switch parts.first {
      case "epoch": text += "epoch=\(epoch)"
      case "step": text += "step=\(step)"
      case let name?:
        let value = values.first { $0.name == name }?.value ?? .nan
        let places = parts.count > 1 ? Int(parts[1].filter(\.isNumber)) ?? 4 : 4
        text += "\(name.replacing("/", with: "-"))=\(fixed(value, min(max(places, 0), 9)))"
      case nil: break
      }
      rest = rest[rest.index(after: close)...]
    }
    return text + rest
  }

  // MARK: What a checkpoint keeps

  var state: JSON {
    .array(
      kept.map {
        .object([.init("name", .string($0.name)), .init("value", exact($0.value)), .init("step", .int($0.step))])
      })
  }

  /// Goes on with what a checkpoint names and is still there.
  mutating func restore(_ state: JSON?) {
    kept = Self.kept(in: state).filter { access(path($0.name), F_OK) == 0 }
  }

  static func kept(in state: JSON?) -> [Kept] {
    (state?.elements ?? []).compactMap { item in
      guard let name = item["name"]?.stringValue, !name.contains("/"), let value = exactNumber(item["value"]),
        let step = item["step"]?.intValue
      else { return nil }
      return Kept(name: name, value: value, step: step)
    }
  }
}
