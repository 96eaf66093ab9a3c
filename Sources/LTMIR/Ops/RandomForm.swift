// Which random numbers an element gets: the numbers of a tensor are bits of the words of Philox4x32-10 in order of its
// elements, so that they depend on nothing but the key and the element's place.
import LTMSupport

/// Which bits a `random_bits` takes for each element.
package struct RandomForm: Sendable, Hashable {
  /// How many bits, from the top of a word, behind how many that are skipped.
  package let bits: Int, skip: Int
  /// How many words belong to an element, and which of them this is.
  package let words: Int, word: Int
  /// The axis of the batch's rows, and how many replicas share them.
  package let rows: Int?, replicas: Int
  /// Which of them draws, where that is known beforehand.
  package let replica: Int?

  /// Elements of one tensor, those of all replicas counted: places are i32.
  static let elementLimit = Int(Int32.max)

  /// Elements that share a counter.
  package var perCounter: Int { 4 / words }

  init(_ attributes: Attributes, rank: Int) throws(OpError) {
    bits = try attributes.required("bits", attributes.int("bits"))
    skip = attributes.int("skip") ?? 0
    words = attributes.int("words") ?? 1
    word = attributes.int("word") ?? 0
    rows = attributes["rows"] == nil ? nil : try attributes.requiredAxis("rows", rank: rank)
    replicas = attributes.int("replicas") ?? 1
    replica = attributes.int("replica")
    guard (1...31).contains(bits), (0...32 - bits).contains(skip) else {
      throw OpError("\(bits) bits behind \(skip) are not in a word of 32, or fill it")
    }
    guard [1, 2, 4].contains(words), (0..<words).contains(word) else {
      throw OpError("word \(word) of \(words): an element has 1, 2 or 4 words")
    }
    guard replicas >= 1 else { throw OpError("\(replicas) replicas: at least 1 is needed") }
    guard (0..<replicas).contains(replica ?? 0) else {
      throw OpError("there is no replica \(replica ?? 0) of \(replicas)")
    }
  }

  /// The form of a legal node.
  package init(proved attributes: Attributes, rank: Int) {
    do throws(OpError) { self = try RandomForm(attributes, rank: rank) } catch {
      internalFailure("graph", "a random form that was not verified: \(error.message)")
    }
  }

  /// Of a legal node that is made of so many bits an element.
  package init(drawing bits: Int, _ attributes: Attributes, rank: Int) {
    self.init(proved: attributes.taking(bits, skip: 0, words: 1, word: 0), rank: rank)
  }

  /// Throws where the elements cannot be counted.
  static func requireCountable(_ shape: [Dim], _ attributes: Attributes) throws(OpError) {
    guard let count = try elementCount(shape).multiplied(by: Dim(attributes.int("replicas") ?? 1)) else {
      throw OpError("the size of \(shapeText(shape)) overflows")
    }
    guard count.constant ?? 0 <= elementLimit else {
      throw OpError(
        "\(count) random numbers are drawn at once, and \(elementLimit) is the most", note: "draw parts of them")
    }
  }

  /// For each element its place in the whole tensor, of which a replica has some rows.
  func places(_ shape: [Int], replica: Int) -> [Int] {
    let (strides, first) = globalStrides(shape, replica: replica)
    var places: [Int] = []
    places.reserveCapacity(shape.reduce(1, *))
    forEachOffset(shape, strides, from: first) { places.append($0) }
    return places
  }

  /// The strides of the whole tensor, and the place of a replica's first element.
  package func globalStrides(_ shape: [Int], replica: Int) -> ([Int], Int) {
    guard let rows, replicas > 1 else { return (rowMajorStrides(shape), 0) }
    let strides = globalStrides(shape)
    return (strides, replica * shape[rows] * strides[rows])
  }

  /// The strides of the whole tensor, for the shape that a replica has.
  package func globalStrides(_ shape: [Int]) -> [Int] {
    guard let rows, replicas > 1 else { return rowMajorStrides(shape) }
    var whole = shape
    whole[rows] *= replicas
    return rowMajorStrides(whole)
  }
}

extension Attributes {
  /// What the reference reads of a drawing op on one of several replicas.
  func drawing(on replica: Int) -> Attributes {
    guard let replicas = int("replicas"), replicas > 1, self["rows"] != nil, self["replica"] == nil else { return self }
    var result = self
    result["replica"] = .int(replica)
    return result
  }
}

/// The random numbers of one node in the reference.
struct Draws {
  private let generator: Philox
  private let high: SIMD2<UInt32>
  private let attributes: Attributes
  private let shape: [Int]

  /// - Parameter key: four words: Philox's key, then the upper half of its counter.
  init(_ key: Reference, _ attributes: Attributes, _ shape: [Int]) {
    let words = key.words
    generator = Philox(key: SIMD2(words[0], words[1]))
    high = SIMD2(words[2], words[3])
    self.attributes = attributes
    self.shape = shape
  }

  /// Some bits of each element's word.
  func bits(_ form: RandomForm) -> [Double] {
    form.places(shape, replica: attributes.int("replica") ?? 0).map { place in
      let counter = SIMD4(lowHalf: SIMD2(UInt32(place / form.perCounter), 0), highHalf: high)
      let word = generator.words(at: counter)[place % form.perCounter * form.words + form.word]
      return Double((word << UInt32(form.skip)) >> UInt32(32 - form.bits))
    }
  }

  /// The same for a node that is made of such bits.
  func bits(_ bits: Int, skip: Int = 0, words: Int = 1, word: Int = 0) -> [Double] {
    self.bits(
      RandomForm(proved: attributes.taking(bits, skip: skip, words: words, word: word), rank: shape.count))
  }

  /// Numbers in `0 ..< 1` of so many bits: 53 are of two words.
  func unit(_ digits: Int) -> [Double] {
    if digits <= 31 { return bits(digits).map { $0 * powerOfTwo(-digits) } }
    return zip(bits(27, words: 2), bits(26, words: 2, word: 1)).map { ($0 * 0x1p26 + $1) * 0x1p-53 }
  }
}

extension Attributes {
  /// The attributes of a `random_bits` that a drawing node is made of.
  func taking(_ bits: Int, skip: Int, words: Int, word: Int) -> Attributes {
    var result: Attributes = [
      "bits": .int(bits), "skip": .int(skip), "words": .int(words), "word": .int(word),
    ]
    for name in ["rows", "replicas", "replica"] { result[name] = self[name] }
    return result
  }
}

extension Reference {
  /// The elements as 32-bit words.
  var words: [UInt32] { data.map { UInt32(truncatingIfNeeded: Int64($0)) } }
}

/// `2 to the power n`
func powerOfTwo(_ n: Int) -> Double { Double(sign: .plus, exponent: n, significand: 1) }

extension DType {
  /// The bits of a random number in `0 ..< 1` that this dtype holds.
  var unitDigits: Int {
    switch self {
    case .f16: 11
    case .bf16: 8
    case .f64: 53
    case .f32, .float, .i32, .i64, .u8, .bool: 24
    }
  }
}
