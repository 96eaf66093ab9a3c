import LTMIR
import LTMRuntime
import LTMSupport
import Testing

private let fields = [
  DataField(parameter: "image", key: "x"), DataField(parameter: "label", key: "y", dtype: .i32),
]

@Suite struct DatasetTests {
  /// Saves tensors and loads them as a data set.
  private func load(
    _ tensors: [String: Tensor?], _ fields: [DataField] = fields, check: (Dataset) throws -> Void = { _ in }
  ) throws {
    try withTemporaryFolder { folder in
      let list = try tensors.sorted { $0.key < $1.key }.map { (name: $0.key, tensor: try #require($0.value)) }
      try Checkpoint(tensors: list).save(path: folder + "d.safetensors")
      try check(Dataset(path: folder + "d.safetensors", fields: fields))
    }
  }

  @Test func splitsByTheNamesEnding() throws {
    let x = Tensor((0..<12).map(Float.init), shape: [6, 2])
    try load([
      "x_train": x, "y_train": Tensor([0, 1, 2, 3, 4, 5], shape: [6], dtype: .i64),
      "x_test": Tensor([8, 9], shape: [1, 2], dtype: .f32), "y_test": Tensor([1], shape: [1], dtype: .u8),
    ]) { data in
      #expect(data.train.count == 6)
      #expect(data.train.tensors["image"] == x)
      #expect(data.train.tensors["label"] == Tensor([0, 1, 2, 3, 4, 5], shape: [6], dtype: .i32))
      #expect(data.test?.count == 1)
      #expect(data.test?.tensors["label"]?.dtype == .i32)
    }
  }

  @Test func namesWithoutSplitAreForTraining() throws {
    try load(["x": Tensor([1, 2] as [Float], shape: [2]), "y": Tensor([0, 1], shape: [2], dtype: .i32)]) { data in
      #expect(data.train.count == 2)
      #expect(data.test == nil)
    }
  }

  @Test func floatsAreConvertedOnRequest() throws {
    let wanted = [DataField(parameter: "x", key: "x", dtype: .f16)]
    try load(["x": Tensor([0.1, 1, 65504], shape: [3], dtype: .f64)], wanted) { data in
      #expect(data.train.tensors["x"] == Tensor([0.1, 1, 65504], shape: [3], dtype: .f16))
    }
    let long = try #require(Tensor((0..<10_000).map { Double($0) / 3 }, shape: [5000, 2], dtype: .f64))
    try load(["x": long], [DataField(parameter: "x", key: "x", dtype: .f32)]) { data in
      #expect(data.train.tensors["x"] == long.converted(to: .f32))
    }
  }

  static let mistakes: [(tensors: [String: Tensor?], says: [String])] = [
    (
      ["x_train": Tensor(zeros: [6, 2], dtype: .f32), "y_train": Tensor(zeros: [5], dtype: .i32)],
      ["'x_train' has 6 rows", "'y_train' has 5"]
    ),
    (["x_train": Tensor(zeros: [6, 2], dtype: .f32)], ["no tensor 'y_train'", "x_train"]),
    (
      [
        "x_train": Tensor(zeros: [1, 2], dtype: .f32), "y_train": Tensor(zeros: [1], dtype: .i32),
        "x_test": Tensor(zeros: [1, 2], dtype: .f32),
      ], ["holds 'x_test' but no 'y_test'"]
    ),
    (["x": Tensor(zeros: [], dtype: .f32), "y": Tensor(zeros: [], dtype: .i32)], ["single number"]),
    (["x": Tensor(zeros: [0, 3], dtype: .f32), "y": Tensor(zeros: [0], dtype: .i32)], ["has 0 rows"]),
    (
      ["x": Tensor([0, 1, .nan, 3] as [Float], shape: [2, 2]), "y": Tensor(zeros: [2], dtype: .i32)],
      ["'x' holds nan in row 1, element 0"]
    ),
    (
      ["x": Tensor([0, -.infinity], shape: [2], dtype: .bf16), "y": Tensor(zeros: [2], dtype: .i32)],
      ["'x' holds -inf in row 1"]
    ),
    (
      ["x": Tensor([0, .infinity], shape: [2], dtype: .f16), "y": Tensor(zeros: [2], dtype: .i32)],
      ["'x' holds inf in row 1"]
    ),
    (
      ["x": Tensor([0, .nan], shape: [2], dtype: .f64), "y": Tensor(zeros: [2], dtype: .i32)],
      ["'x' holds nan in row 1"]
    ),
    (
      ["x": Tensor(zeros: [2], dtype: .f32), "y": Tensor([1, 1.5], shape: [2], dtype: .f32)],
      ["'y' holds 1.5 in row 1, which is no i32", "'label' takes i32"]
    ),
    (
      ["x": Tensor(zeros: [2], dtype: .f32), "y": Tensor([1, 3e9], shape: [2], dtype: .i64)],
      ["'y' holds 3000000000 in row 1, which is no i32"]
    ),
  ]

  @Test(arguments: mistakes.indices) func namesFileTensorAndRow(index: Int) throws {
    let text = message { try load(Self.mistakes[index].tensors) }
    for part in Self.mistakes[index].says { #expect(text.contains(part), "\(text)") }
    #expect(text.contains("d.safetensors: "))
  }

  /// Values are converted some thousand at a time.
  @Test(arguments: [0, 4095, 4096, 5999]) func everyRowIsChecked(row: Int) throws {
    var labels = [Double](repeating: 1, count: 6000)
    labels[row] = 1.5
    let text = message {
      try load(["x": Tensor(zeros: [6000], dtype: .f32), "y": Tensor(labels, shape: [6000], dtype: .f32)])
    }
    #expect(text.contains("'y' holds 1.5 in row \(row), which is no i32"))
  }

  @Test func aValueThatOverflowsTheDtypeIsNamed() throws {
    let text = message {
      try load(["x": Tensor([1, 1e39], shape: [2], dtype: .f64)], [DataField(parameter: "x", key: "x", dtype: .f32)])
    }
    #expect(text.contains("row 1, which is no f32"))
  }

  @Test func anNPYIsOneField() throws {
    let one = [DataField(parameter: "x", key: "x")]
    #expect(try Dataset(path: fixtures + "v1.npy", fields: one).train.count == 2)
    #expect(message { _ = try Dataset(path: fixtures + "v1.npy", fields: fields) }.contains("image, label are needed"))
    #expect(message { _ = try Dataset(path: fixtures + "v1.npy", fields: []) }.contains("no parameter"))
    #expect(try Dataset(path: fixtures + "packed.npz", fields: [DataField(parameter: "x", key: "f2")]).train.count == 2)
  }
}

@Suite struct CSVTests {
  @Test func readsColumnsAndSplit() throws {
    let data = try Dataset(path: fixtures + "table.csv", fields: fields)
    #expect(
      data.train.tensors["image"] == Tensor([1.5, -2, 2.25, 1000, 123456789.123, -0.0] as [Float], shape: [3, 2]))
    #expect(data.train.tensors["label"] == Tensor([0, 1, 1], shape: [3], dtype: .i32))
    #expect(data.test?.tensors["image"] == Tensor([0.5, 0.1] as [Float], shape: [1, 2]))
    #expect(data.test?.count == 1)
  }

  private func load(_ text: String, keys: [String], dtype: DType = .f64) throws -> Dataset {
    var result: Dataset?
    try withTemporaryFolder { folder in
      try write(text, to: folder + "t.csv")
      result = try Dataset(path: folder + "t.csv", fields: keys.map { DataField(parameter: $0, key: $0, dtype: dtype) })
    }
    return try #require(result)
  }

  @Test func integersOf64BitsAreReadExactly() throws {
    let values: [Int64] = [9_007_199_254_740_993, .max, .min, -1, 3000]
    let text = "a,split\n9007199254740993,0\n\(Int64.max),0\n\(Int64.min),0\n-1.0,0\n3e3,0\n7,1\n"
    let data = try load(text, keys: ["a"], dtype: .i64)
    let bytes = values.withUnsafeBytes { Array($0) }
    #expect(data.train.tensors["a"] == Tensor(dtype: .i64, shape: [5], bytes: bytes))
    #expect(data.test?.tensors["a"]?.doubles == [7])
    #expect(try load(text, keys: ["split"], dtype: .i64).train.count == 5)
    for bad in ["9223372036854775808", "9007199254740993.0", "1e19", "0.5", "nan", "x"] {
      #expect(throws: FileError.self, "\(bad)") { try load("a\n\(bad)\n", keys: ["a"], dtype: .i64) }
    }
  }

  /// Two parameters may take one column, each in its dtype.
  @Test func aColumnIsReadInTwoDTypes() throws {
    try withTemporaryFolder { folder in
      try write("a\n9007199254740993\n", to: folder + "t.csv")
      let fields = [DataField(parameter: "x", key: "a", dtype: .f32), DataField(parameter: "y", key: "a", dtype: .i64)]
      let data = try Dataset(path: folder + "t.csv", fields: fields)
      #expect(data.train.tensors["x"]?.doubles == [0x1p53])
      #expect(data.train.tensors["y"].map { elementText($0, 0) } == "9007199254740993")
    }
  }

  @Test(arguments: [
    "a,b,y\n1,2,3\n4,5,6\n", "a,b,y\r\n1,2,3\r\n4,5,6", "\u{FEFF}a, b ,y\n 1 ,\t2,3\n\n4,5,6\n\n",
    "\"a\",b,y\n\"1\",2,3\n4,\"5\" ,6\n",
  ]) func layouts(text: String) throws {
    let data = try load(text, keys: ["rest", "y"])
    #expect(data.train.tensors["rest"] == Tensor([1, 2, 4, 5], shape: [2, 2], dtype: .f64))
    #expect(data.train.tensors["y"] == Tensor([3, 6], shape: [2], dtype: .f64))
    #expect(data.test == nil)
  }

  @Test func doubledQuotesAreOne() throws {
    let data = try load("\"a \"\"b\"\"\",\"\"\"\"\n1,2\n", keys: ["a \"b\"", "\""])
    #expect(data.train.tensors["a \"b\""] == Tensor([1], shape: [1], dtype: .f64))
    #expect(data.train.tensors["\""] == Tensor([2], shape: [1], dtype: .f64))
  }

  @Test(arguments: [
    "0", "-0", "1", "-12.5", "0.1", "123456789012345", ".5", "5.", "1e-3", "-1E+10", "0.000001", "999999.999999999",
    "1234567890123456789", "4.35", "+7",
  ]) func numbersAreRoundedOnce(text: String) throws {
    let data = try load("a\n\(text)\n", keys: ["a"])
    #expect(data.train.tensors["a"]?.doubles == [Double(text) ?? .nan])
  }

  @Test(arguments: [
    ("a,b\n1,x\n", "t.csv:2:3: 'x' in column 'b' is not a number"),
    ("a,b\n1,2\n3,\n", "t.csv:3:3: an empty field in column 'b' is not a number"),
    ("a,b\n1,nan\n", "t.csv:2:3: 'nan' in column 'b' is not finite"),
    ("a,b\n1,-inf\n", "'-inf' in column 'b' is not finite"),
    ("a,b\n1,1e999\n", "is not finite"),
    ("a,b\n1,0x10\n", "'0x10' in column 'b' is not a number"),
    ("a,b\n1,2\n3\n", "t.csv:3:1: this row has 1 fields, and the header names 2"),
    ("a,b\n1,2,3\n", "t.csv:2:1: this row has 3 fields"),
    ("a,b\n1,\"2\n", "t.csv:2:3: a quote that is never closed"),
    ("a,b\n1,\"2\"x\n", "t.csv:2:6: text after a closing quote"),
    ("a,b\n1,2\r3,4\n", "carriage return inside a row"),
    ("a,b\n\"x\ny\",1\n", "t.csv:2:1: 'x?y' in column 'a'"),
    ("a,c\n1,2\n", "has no column 'b'"),
    ("a,b,a\n1,2,3\n", "two columns called 'a'"),
    ("1,2\n3,4\n", "has no header row"),
    ("a,b\n", "has 0 rows"),
    ("", "is empty"),
    ("a,b,split\n1,2,dev\n", "'dev' in column 'split'"),
    ("a,b,split\n1,2,7\n", "write train or test"),
  ]) func mistakesHaveAPlace(text: String, says: String) {
    let found = message { _ = try load(text, keys: ["a", "b"]) }
    #expect(found.contains(says), "\(found)")
  }
}

@Suite struct BatchTests {
  @Test func anOrderIsAPermutationOfItsOwn() {
    let first = order(seed: 1, epoch: 0, count: 1000)
    let all: [Int32] = Array(0..<1000)
    #expect(first.sorted() == all)
    #expect(first == order(seed: 1, epoch: 0, count: 1000))
    #expect(first != order(seed: 1, epoch: 1, count: 1000))
    #expect(first != order(seed: 2, epoch: 0, count: 1000))
    #expect(order(seed: 0, epoch: 0, count: 0).isEmpty)
    #expect(order(seed: 0, epoch: 0, count: 1) == [0])
  }

  /// A run that is resumed, by any later version, sees the rows that it would have seen: the order is a contract.
  @Test func theOrderIsFisherYatesOnAStreamOfItsOwn() {
    var rows = (0..<20).map { Int32($0) }
    for last in (1..<20).reversed() {
      let words = Philox(seed: 7).words(UInt64(last), 3 ^ stableHash("data order"))
      let random = UInt64(words[1]) << 32 | UInt64(words[0])
      rows.swapAt(last, Int(random.multipliedFullWidth(by: UInt64(last + 1)).high))
    }
    #expect(order(seed: 7, epoch: 3, count: 20) == rows)
  }

  @Test func everyPlaceIsEquallyLikely() {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: 4), count: 4)
    for epoch in 0..<4000 {
      for (place, row) in order(seed: 9, epoch: epoch, count: 4).enumerated() { counts[place][Int(row)] += 1 }
    }
    // 1000 expected; five standard deviations are 137.
    for row in counts { for count in row { #expect(abs(count - 1000) < 137) } }
  }

  @Test func theRestOfAnEpochIsDropped() throws {
    var batches = try BatchSequence(rows: 10, batch: 4, seed: 3)
    #expect(batches.batchesPerEpoch == 2)
    let epoch = order(seed: 3, epoch: 1, count: 10)
    #expect(batches.rows(of: 2) == epoch[0..<4])
    #expect(batches.rows(of: 3) == epoch[4..<8])
    // Going back, as a resume does, gives the same rows.
    var resumed = try BatchSequence(rows: 10, batch: 4, seed: 3)
    #expect(resumed.rows(of: 3) == batches.rows(of: 3))
    #expect(batches.position(of: 5).epoch == 2)
  }

  @Test(arguments: [0, -1, 11]) func batchesMustFit(batch: Int) {
    let error = #expect(throws: Diagnostic.self) { try BatchSequence(rows: 10, batch: batch, seed: 0) }
    #expect(error?.rendered().contains("between 1 and 10") == true)
  }

  @Test func rowsAreGatheredAndEvaluatedWhole() throws {
    try withTemporaryFolder { folder in
      let x = try #require(Tensor((0..<15).map(Float.init), shape: [5, 3]))
      try Checkpoint(tensors: [("x", x)]).save(path: folder + "d.safetensors")
      let split = try Dataset(path: folder + "d.safetensors", fields: [DataField(parameter: "x", key: "x")]).train
      #expect(try split.batch([4, 0])["x"] == Tensor([12, 13, 14, 0, 1, 2] as [Float], shape: [2, 3]))
      let pieces = split.evaluationBatches(2)
      #expect(pieces.map(\.count) == [2, 2, 1])
      let rows: [Double] = try pieces.flatMap { try split.batch($0)["x"]?.doubles ?? [] }
      #expect(rows == x.doubles)
      var target = [Float](repeating: 0, count: 3)
      target.withUnsafeMutableBytes { split.gather("x", rows: [2], into: $0) }
      #expect(target == [6, 7, 8])
    }
  }
}

/// Rows that are kept for validation.
@Suite struct SplitTests {
  private func split(
    _ fraction: Double, _ rule: SplitRule, _ values: [Double], seed: UInt64 = 1
  ) throws -> (train: [Double], validation: [Double]) {
    let tensor = try #require(Tensor(values, shape: [values.count], dtype: .f64))
    let data = try Dataset(
      name: "test", train: ["x": tensor], test: [:], fields: [DataField(parameter: "x", key: "x")])
    let parts = try data.train.split(fraction, rule, values, seed: seed)
    func rows(_ split: Dataset.Split) throws -> [Double] {
      try split.batch((0..<Int32(split.count)).map { $0 }[...])["x"]?.doubles ?? []
    }
    return (try rows(parts.train), try rows(parts.validation))
  }

  @Test func byChanceEveryRowIsOnOneSide() throws {
    let values = (0..<101).map(Double.init)
    let (train, validation) = try split(0.2, .random, values)
    #expect(validation.count == 20 && (train + validation).sorted() == values)
    #expect(train == train.sorted() && validation == validation.sorted())
    #expect(try split(0.2, .random, values).validation == validation)
    #expect(try split(0.2, .random, values, seed: 2).validation != validation)
  }

  @Test func everyClassGivesItsFraction() throws {
    let values = (0..<200).map { $0 < 160 ? 0.0 : 1 }
    let (_, validation) = try split(0.1, .stratified("y"), values)
    #expect(validation == Array(repeating: 0, count: 16) + Array(repeating: 1, count: 4))
  }

  @Test func aGroupIsOnOneSide() throws {
    let values = (0..<120).map { Double($0 % 12) }
    let (train, validation) = try split(0.25, .group("g"), values)
    #expect(Set(train).isDisjoint(with: validation) && validation.count == 30)
  }

  @Test func timeKeepsTheLast() throws {
    let values = (0..<50).map { Double(($0 * 7) % 50) }
    #expect(try split(0.1, .time("t"), values).validation.sorted() == [45, 46, 47, 48, 49])
  }

  @Test func rulesAreRead() {
    #expect(SplitRule("stratified:label") == .stratified("label"))
    #expect(SplitRule("time") == .time(nil) && SplitRule("time:day") == .time("day"))
    for text in ["", "group", "group:", "stratified", "random:x", "time:"] {
      #expect(SplitRule(text) == nil, "\(text)")
    }
  }
}
