import LTMIR
import LTMSupport

/// One property of an opt level with a value: an override, as a flag or a Swift caller gives it.
public enum OptLevelSetting: Sendable, Hashable {
  /// See ``OptLevel/castModel``.
  case castModel(OptLevel.Cast)
  /// See ``OptLevel/castOps``.
  case castOps(Bool)
  /// See ``OptLevel/keepNormalizationInFloat32``.
  case keepNormalizationInFloat32(Bool?)
  /// See ``OptLevel/masterWeights``.
  case masterWeights(Bool?)
  /// See ``OptLevel/lossScale``.
  case lossScale(LossScaling)
  /// See ``OptLevel/inputs``.
  case inputs(OptLevel.Cast)
  /// See ``OptLevel/outputs``.
  case outputs(OptLevel.Cast)
  /// See ``OptLevel/keepInFloat32``.
  case keepInFloat32([String])
  /// See ``OptLevel/opClasses``.
  case opClasses([Op: PrecisionClass])

  /// The properties' names, which are also the flags' without their dashes.
  public static let names = [
    "cast-model", "cast-ops", "keep-norm-f32", "master-weights", "loss-scale", "cast-inputs", "cast-outputs",
    "keep-f32", "op-class",
  ]

  /// The property's name: `loss-scale`.
  public var name: String {
    switch self {
    case .castModel: "cast-model"
    case .castOps: "cast-ops"
    case .keepNormalizationInFloat32: "keep-norm-f32"
    case .masterWeights: "master-weights"
    case .lossScale: "loss-scale"
    case .inputs: "cast-inputs"
    case .outputs: "cast-outputs"
    case .keepInFloat32: "keep-f32"
    case .opClasses: "op-class"
    }
  }

  /// The value as `init(_:_:)` reads it.
  public var value: String {
    switch self {
    case .castModel(let cast), .inputs(let cast), .outputs(let cast): cast.rawValue
    case .castOps(let flag): flag ? "yes" : "no"
    case .keepNormalizationInFloat32(let flag), .masterWeights(let flag): flag.map { $0 ? "yes" : "no" } ?? "-"
    case .lossScale(let scaling): scaling.description
    case .keepInFloat32(let paths): paths.isEmpty ? "-" : paths.joined(separator: ",")
    case .opClasses(let classes):
      classes.isEmpty
        ? "-" : classes.map { "\($0.key.name):\($0.value.rawValue)" }.sorted().joined(separator: ",")
    }
  }

  /// Reads a property from its name and its value: `("loss-scale", "128")`.
  public init(_ name: String, _ value: String) throws(Diagnostic) {
    switch name {
    case "cast-model": self = .castModel(try Self.cast(name, value))
    case "cast-ops": self = .castOps(try Self.flag(name, value))
    case "keep-norm-f32": self = .keepNormalizationInFloat32(value == "-" ? nil : try Self.flag(name, value))
    case "master-weights": self = .masterWeights(value == "-" ? nil : try Self.flag(name, value))
    case "loss-scale": self = .lossScale(try LossScaling(parsing: value))
    case "cast-inputs": self = .inputs(try Self.cast(name, value))
    case "cast-outputs": self = .outputs(try Self.cast(name, value))
    case "keep-f32": self = .keepInFloat32(value == "-" ? [] : try Self.paths(value))
    case "op-class": self = .opClasses(value == "-" ? [:] : try Self.classes(value))
    case let other:
      throw Diagnostic(
        .error,
        "an opt level has no property '\(other)'"
          + (suggestion(for: other, among: Self.names).map { "; did you mean '\($0)'?" } ?? ""),
        notes: ["it has \(Self.names.joined(separator: ", "))"])
    }
  }

  private static func flag(_ name: String, _ value: String) throws(Diagnostic) -> Bool {
    switch value {
    case "yes", "true", "on": return true
    case "no", "false", "off": return false
    case let other: throw Diagnostic(.error, "\(name) is yes or no, not '\(other)'")
    }
  }

  private static func cast(_ name: String, _ value: String) throws(Diagnostic) -> OptLevel.Cast {
    guard let cast = OptLevel.Cast(rawValue: value) else {
      throw Diagnostic(.error, "\(name) is as-is, f32 or half, not '\(value)'")
    }
    return cast
  }

  private static func paths(_ value: String) throws(Diagnostic) -> [String] {
    let paths = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    for path in paths where !PathPattern.isValid(path) {
      throw Diagnostic(
        .error, "'\(path)' in keep-f32 is no path of layers",
        notes: ["write \(PathPattern.form)"])
    }
    return paths
  }

  private static func classes(_ value: String) throws(Diagnostic) -> [Op: PrecisionClass] {
    var classes: [Op: PrecisionClass] = [:]
    for part in value.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      let sides = part.split(separator: ":", maxSplits: 1).map(String.init)
      guard sides.count == 2 else { throw Diagnostic(.error, "'\(part)' in op-class is not written as op:class") }
      guard let op = Op(rawValue: sides[0]) else {
        let near = suggestion(for: sides[0], among: Op.allCases.map(\.name))
        throw Diagnostic(.error, "there is no op '\(sides[0])'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
      guard let precision = PrecisionClass(rawValue: sides[1]) else {
        let names = PrecisionClass.allCases.map(\.rawValue)
        throw Diagnostic(
          .error, "'\(sides[1])' is no precision class", notes: ["the classes are \(names.joined(separator: ", "))"])
      }
      classes[op] = precision
    }
    return classes
  }
}

extension OptLevel {
  /// Every property with its value, in the order they print.
  public var settings: [OptLevelSetting] {
    [
      .castModel(castModel), .castOps(castOps), .keepNormalizationInFloat32(keepNormalizationInFloat32),
      .masterWeights(masterWeights), .lossScale(lossScale), .inputs(inputs), .outputs(outputs),
      .keepInFloat32(keepInFloat32), .opClasses(opClasses),
    ]
  }

  /// Changes one property.
  public mutating func set(_ setting: OptLevelSetting) {
    switch setting {
    case .castModel(let cast): castModel = cast
    case .castOps(let flag): castOps = flag
    case .keepNormalizationInFloat32(let flag): keepNormalizationInFloat32 = flag
    case .masterWeights(let flag): masterWeights = flag
    case .lossScale(let scaling): lossScale = scaling
    case .inputs(let cast): inputs = cast
    case .outputs(let cast): outputs = cast
    case .keepInFloat32(let paths): keepInFloat32 = paths
    case .opClasses(let classes): opClasses = classes
    }
  }

  /// The standard level of that name.
  public init(named name: String) throws(Diagnostic) {
    if let level = Self.standard.first(where: { $0.name == name }) {
      self = level
      return
    }
    let names = Self.standard.map(\.name)
    let letter = name.first == "0" || name.first == "o" ? names.first { $0.dropFirst() == name.dropFirst() } : nil
    var message = "unknown opt level '\(name)'"
    if name.first == "0", let letter {
      message += ": it begins with a zero where the letter O belongs; write \(letter)"
    } else if let near = letter ?? suggestion(for: name, among: names) {
      message += "; did you mean '\(near)'?"
    }
    throw Diagnostic(.error, message, notes: ["the levels are \(names.joined(separator: ", "))"])
  }

  /// Reads what `description` prints: a name, then `property=value` in any number. What is left out is as in the standard
  /// level of that name; any other name starts from O0's row.
  public init(parsing line: String) throws(Diagnostic) {
    let words = line.split(separator: " ").map(String.init)
    guard let name = words.first, !name.contains("=") else {
      throw Diagnostic(.error, "an opt level begins with its name")
    }
    self =
      words.count == 1 ? try OptLevel(named: name) : Self.standard.first { $0.name == name } ?? OptLevel(name: name)
    for word in words.dropFirst() {
      let sides = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2 else {
        throw Diagnostic(.error, "'\(word)' in an opt level is not written as property=value")
      }
      set(try OptLevelSetting(sides[0], sides[1]))
    }
  }
}

extension OptLevel: CustomStringConvertible {
  /// One line that ``init(parsing:)`` reads back; lists that are empty are left out.
  public var description: String {
    let shown = settings.filter { setting in
      switch setting {
      case .keepInFloat32, .opClasses: setting.value != "-"
      case .castModel, .castOps, .keepNormalizationInFloat32, .masterWeights, .lossScale, .inputs, .outputs: true
      }
    }
    return ([name] + shown.map { "\($0.name)=\($0.value)" }).joined(separator: " ")
  }
}
