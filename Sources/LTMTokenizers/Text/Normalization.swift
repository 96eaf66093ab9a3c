/// One of Unicode's four normal forms.
enum NormalForm: String, CaseIterable, Sendable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var isCompatible: Bool { self == .nfkc || self == .nfkd }
  private var composes: Bool { self == .nfc || self == .nfkc }

  /// Texts below this scalar are in every form, or in the composed one.
  private var firstChanged: UInt32 {
    switch self {
    case .nfc: 0x300
    case .nfd: 0xC0
    case .nfkc, .nfkd: 0xA0
    }
  }

  /// The text in this form.
  func normalized(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    guard text.contains(where: { $0.value >= firstChanged }) else { return text }
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count + text.count / 4)
    for scalar in text { Decompositions.shared.append(scalar, isCompatible: isCompatible, to: &result) }
    Self.order(&result)
    return composes ? Self.composed(result) : result
  }

  /// Puts each run of marks into the order of their classes; marks of one class keep theirs.
  private static func order(_ text: inout [Unicode.Scalar]) {
    var start = 0
    while start < text.count {
      guard text[start].combiningClass != 0 else {
        start += 1
        continue
      }
      var end = start + 1
      var isOrdered = true
      while end < text.count, text[end].combiningClass != 0 {
        isOrdered = isOrdered && text[end - 1].combiningClass <= text[end].combiningClass
        end += 1
      }
      if !isOrdered {
        let marks = text[start..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        text.replaceSubrange(start..<end, with: marks.map(\.element))
      }
      start = end
    }
  }

  /// Puts together what one scalar stands for: each mark with the last letter before it, where nothing of its class or above stands between.
  private static func composed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count)
    var starter: Int?
    var last: UInt8 = 0
    for scalar in text {
      let level = scalar.combiningClass
      if let place = starter, last < level || (last == 0 && place == result.count - 1),
        let both = Decompositions.shared.composition(result[place], scalar)
      {
        result[place] = both
        continue
      }
      if level == 0 { starter = result.count }
      last = level
      result.append(scalar)
    }
    return result
  }
}

extension Unicode.Scalar {
  /// 0 for all but marks, and for marks that the package does not know.
  fileprivate var combiningClass: UInt8 {
    let level = value < 0x300 ? 0 : properties.canonicalCombiningClass.rawValue
    return level == 0 || isNoYounger(than: 9) ? level : 0
  }
}

/// Unicode's decompositions, read once from their text.
struct Decompositions: Sendable {
  static let shared = Decompositions()

  /// The parts of all scalars, one behind the other.
  private var parts: [Unicode.Scalar] = []
  /// By scalar: where its parts begin, how many they are, and whether they are another form of it alone.
  private var entries = IntegerMap(minimumCapacity: 6000)
  /// By two scalars: the one that both make.
  private var pairs = IntegerMap(minimumCapacity: 1000)

  /// Hangul's syllables are computed.
  private static let syllables: Range<UInt32> = 0xAC00..<0xD7A4

  private init() {
    for entry in decompositionText.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A }) { add(entry) }
  }

  /// Takes an entry: a scalar, `=` or `~` (for another form), its parts with commas between.
  private mutating func add(_ entry: Substring.UTF8View) {
    var numbers: [UInt32] = [0]
    var isOther = false
    for byte in entry {
      switch byte {
      case UInt8(ascii: "="), UInt8(ascii: "~"), UInt8(ascii: ","):
        isOther = isOther || byte == UInt8(ascii: "~")
        numbers.append(0)
      case _:
        let digit = byte < 0x3A ? byte - 0x30 : byte - 0x61 + 10
        numbers[numbers.count - 1] = numbers[numbers.count - 1] << 4 | UInt32(digit)
      }
    }
    let scalars = numbers.compactMap { Unicode.Scalar($0) }
    guard scalars.count == numbers.count, let whole = scalars.first, scalars.count > 1 else { return }
    entries.set(UInt64(whole.value), Int32(parts.count << 6 | (scalars.count - 1) << 1 | (isOther ? 1 : 0)))
    parts += scalars.dropFirst()
    if !isOther, scalars.count == 3, !whole.properties.isFullCompositionExclusion {
      pairs.set(UInt64(scalars[1].value) << 32 | UInt64(scalars[2].value), Int32(whole.value))
    }
  }

  /// Adds the parts of a scalar, which may have parts themselves.
  func append(_ scalar: Unicode.Scalar, isCompatible: Bool, to text: inout [Unicode.Scalar]) {
    if scalar.value < 0xA0 {
      text.append(scalar)
    } else if Self.syllables.contains(scalar.value) {
      let index = scalar.value - Self.syllables.lowerBound
      let (lead, vowel, tail) = (index / 588, index % 588 / 28, index % 28)
      text += [0x1100 + lead, 0x1161 + vowel].compactMap { Unicode.Scalar($0) }
      if tail > 0 { text += [0x11A7 + tail].compactMap { Unicode.Scalar($0) } }
    } else if let entry = entries[UInt64(scalar.value)], entry & 1 == 0 || isCompatible {
      let start = Int(entry) >> 6
      for index in start..<start + (Int(entry) >> 1 & 31) {
        append(parts[index], isCompatible: isCompatible, to: &text)
      }
    } else {
      text.append(scalar)
    }
  }

  /// The scalar that two make; `nil` where there is none.
  func composition(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
    let (a, b) = (first.value, second.value)
    if a &- 0x1100 < 19, b &- 0x1161 < 21 {
      return Unicode.Scalar(Self.syllables.lowerBound + ((a - 0x1100) * 21 + (b - 0x1161)) * 28)
    }
    if Self.syllables.contains(a), (a - Self.syllables.lowerBound) % 28 == 0, b > 0x11A7, b < 0x11C3 {
      return Unicode.Scalar(a + b - 0x11A7)
    }
    return pairs[UInt64(a) << 32 | UInt64(b)].flatMap { Unicode.Scalar(UInt32(bitPattern: $0)) }
  }
}
