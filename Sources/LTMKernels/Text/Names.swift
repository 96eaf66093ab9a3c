import LTMIR

/// Words that the text form gives a meaning where a buffer's name could stand.
let reservedNames = Set(
  [
    "scratch", "for", "let", "axis", "at", "domain", "guarded", "index", "inf", "nan", "else", "epilogue", "prefix",
    "order", "attention",
  ]
    + Primitive.allCases.map(\.rawValue) + DType.allCases.flatMap { [$0.rawValue, "round_\($0.rawValue)"] })

/// A name that a kernel's buffer may have, as close to the one given as can be.
package func kernelIdentifier(_ name: String) -> String {
  let kept = String(decoding: name.utf8.map { isLetter($0) || isDigit($0) ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
  let isLegal = kept.utf8.first.map(isLetter) == true && !reservedNames.contains(kept)
  return isLegal ? kept : "_" + kept
}

/// A letter or underscore, then letters, digits, underscores and dots.
func isIdentifier(_ name: String) -> Bool {
  let bytes = Array(name.utf8)
  guard let first = bytes.first, isLetter(first) else { return false }
  return bytes.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: ".") }
}

func isLetter(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
}

func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
