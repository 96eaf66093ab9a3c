import LTMIR
import LTMSupport

/// Whether and how gradients are scaled so that small ones survive 16 bits.
public enum LossScaling: Sendable, Hashable {
  /// No scale; a non-finite loss or gradient stops the run.
  case off
  /// One scale for the whole run; an overflow skips the step all the same.
  case `static`(Double)
  /// Halved on overflow, doubled after a window of good steps.
  case dynamic(DynamicScaling)

  /// The dynamic scale with its default numbers.
  public static let dynamic = LossScaling.dynamic(DynamicScaling())

  /// The scale that a run starts with.
  public var initial: Double {
    switch self {
    case .off: 1
    case .static(let scale): scale
    case .dynamic(let numbers): numbers.initial
    }
  }

  /// Whether overflows move it.
  package var isDynamic: Bool { if case .dynamic = self { true } else { false } }

  /// The smallest scale that a run can reach.
  public var floor: Double {
    switch self {
    case .off, .static: initial
    case .dynamic(let numbers): numbers.minimum
    }
  }
}

/// The numbers of a dynamic loss scale.
public struct DynamicScaling: Sendable, Hashable {
  /// The first scale.
  public var initial: Double
  /// How many good steps in a row make the scale grow.
  public var window: Int
  /// What it grows by.
  public var growth: Double
  /// What an overflow multiplies it by.
  public var backoff: Double
  /// It never falls below; without a floor a scale is known to collapse to zero.
  public var minimum: Double
  /// It never grows above.
  public var maximum: Double

  /// The numbers given, and the usual ones for the rest.
  public init(
    initial: Double = 0x1p16, window: Int = 2000, growth: Double = 2, backoff: Double = 0.5, minimum: Double = 1,
    maximum: Double = 0x1p24
  ) {
    self.initial = initial
    self.window = window
    self.growth = growth
    self.backoff = backoff
    self.minimum = minimum
    self.maximum = maximum
  }
}

/// The loss scale's state machine as a plain value: what the compiled step does with its control scalars.
public struct LossScale: Sendable, Hashable {
  /// How the scale moves.
  public let scaling: LossScaling
  /// The scale of the next try, an f32.
  public private(set) var scale: Double
  /// Good steps since the scale last moved.
  public private(set) var goodSteps = 0
  /// Updates made.
  public private(set) var step = 0
  /// Tries made, skipped ones included.
  public private(set) var attempt = 0
  /// Skips in a row with the scale at its floor.
  public private(set) var skips = 0

  /// So many skips in a row at the floor stop a run.
  public static let skipLimit = 20

  /// The state at the start of a run.
  public init(_ scaling: LossScaling) {
    self.scaling = scaling
    scale = DType.f32.round(scaling.initial)
  }

  /// Whether the run should stop: no smaller scale is left to try.
  public var isStuck: Bool { skips >= Self.skipLimit }

  /// Takes the outcome of a try.
  public mutating func update(foundInf: Bool) {
    attempt += 1
    skips = foundInf && scale <= DType.f32.round(scaling.floor) ? skips + 1 : 0
    if !foundInf { step += 1 }
    guard case .dynamic(let numbers) = scaling else { return }
    if foundInf {
      scale = DType.f32.round(max(product(numbers.backoff), numbers.minimum))
      goodSteps = 0
    } else if goodSteps + 1 >= numbers.window {
      scale = DType.f32.round(min(product(numbers.growth), numbers.maximum))
      goodSteps = 0
    } else {
      goodSteps += 1
    }
  }

  /// The scale times a factor, both of them f32, as the step computes it.
  private func product(_ factor: Double) -> Double { DType.f32.round(scale * DType.f32.round(factor)) }
}

extension LossScaling: CustomStringConvertible {
  /// `off`, `128`, `dynamic`, `dynamic:init=1024:window=500`: what `init(parsing:)` reads.
  public var description: String {
    switch self {
    case .off: return "off"
    case .static(let scale): return plain(scale)
    case .dynamic(let numbers):
      let usual = DynamicScaling()
      var text = "dynamic"
      if numbers.initial != usual.initial { text += ":init=\(plain(numbers.initial))" }
      if numbers.window != usual.window { text += ":window=\(numbers.window)" }
      if numbers.growth != usual.growth { text += ":growth=\(plain(numbers.growth))" }
      if numbers.backoff != usual.backoff { text += ":backoff=\(plain(numbers.backoff))" }
      if numbers.minimum != usual.minimum { text += ":min=\(plain(numbers.minimum))" }
      if numbers.maximum != usual.maximum { text += ":max=\(plain(numbers.maximum))" }
      return text
    }
  }

  /// Reads `off`, a positive number, or `dynamic` with its numbers.
  public init(parsing text: String) throws(Diagnostic) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    if text == "off" {
      self = .off
    } else if parts[0] == "dynamic" {
      self = .dynamic(try DynamicScaling(parsing: Array(parts.dropFirst()), of: text))
    } else if let scale = Double(text), scale > 0, scale <= 0x1p126, scale >= 0x1p-126 {
      self = .static(scale)
    } else {
      throw Diagnostic(
        .error, "'\(text)' is no loss scale", notes: ["write off, dynamic, or a positive number such as 128"])
    }
  }
}

extension DynamicScaling {
  fileprivate init(parsing parts: [String], of text: String) throws(Diagnostic) {
    self.init()
    for part in parts {
      let sides = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard sides.count == 2, let value = Double(sides[1]), value > 0, value <= 0x1p126 else {
        throw Diagnostic(
          .error, "'\(part)' in the loss scale '\(text)' is not a name and a positive number, as in init=1024")
      }
      switch sides[0] {
      case "init": initial = value
      case "growth": growth = value
      case "backoff": backoff = value
      case "min": minimum = value
      case "max": maximum = value
      case "window":
        guard let count = Int(sides[1]), count <= Int32.max else {
          throw Diagnostic(.error, "the window of a loss scale is a number of steps, not '\(sides[1])'")
        }
        window = count
      case let other:
        throw Diagnostic(
          .error, "a dynamic loss scale has no '\(other)'", notes: ["it has init, window, growth, backoff, min and max"]
        )
      }
    }
    try check()
  }

  /// What must hold for the scale to stay between its bounds and move the right way.
  func check() throws(Diagnostic) {
    let numbers = [initial, growth, backoff, minimum, maximum]
    guard numbers.allSatisfy({ $0.isFinite && $0 > 0 }), window >= 1, window <= Int32.max else {
      throw Diagnostic(.error, "the numbers of a loss scale are positive and finite")
    }
    guard growth >= 1, backoff < 1 else {
      throw Diagnostic(.error, "a loss scale grows by 1 or more and backs off by less than 1")
    }
    guard minimum <= initial, initial <= maximum, maximum <= 0x1p126 else {
      throw Diagnostic(
        .error,
        "a loss scale starts between its bounds: min \(plain(minimum)), init \(plain(initial)), max \(plain(maximum))")
    }
  }
}

/// A number without a needless `.0`.
func plain(_ value: Double) -> String {
  Int(exactly: value).map { "\($0)" } ?? "\(value)"
}
