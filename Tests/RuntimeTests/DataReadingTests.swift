import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import TestSupport
import Testing

/// Texts, tables with words and gaps, several files as one, rows by weight.
@Suite struct DataReadingTests {
  private let folder: TemporaryFolder
  private let x = [DataField(parameter: "x", key: "x", dtype: .i32)]

  init() throws { folder = try TemporaryFolder() }

  private func values(_ split: Dataset.Split?, _ name: String = "x") throws -> [Double] {
    let split = try #require(split)
    return try #require(try split.batch((0..<Int32(split.count)).map { $0 }[...])[name]).doubles
  }

  private func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return ""
  }

  @Test func aTextIsRowsOfBytes() throws {
    let path = try folder.write("a.txt", "abcdefghij")
    let data = try Dataset(path: path, fields: x, reading: DataReading(window: 4))
    #expect(try values(data.train) == [97, 98, 99, 100, 100, 101, 102, 103, 103, 104, 105, 106])
    let crops = try Dataset(path: path, fields: x, reading: DataReading(window: 4, windowStride: 1))
    #expect(crops.train.count == 7)
    #expect(
      message { _ = try Dataset(path: path, fields: x, reading: DataReading(window: 11)) }.contains("has 10 bytes"))
    #expect(message { _ = try Dataset(path: path, fields: x) }.contains("--window 129"))
  }

  @Test func filesThatFitAreOne() throws {
    try folder.write("part1.csv", "x\n1\n2\n")
    try folder.write("part2.csv", "x,split\n3,train\n4,test\n")
    let data = try Dataset(files: folder.file("part*.csv"), fields: x, reading: DataReading())
    #expect(try values(data.train) == [1, 2, 3] && values(data.test) == [4])
    #expect(
      message { _ = try Dataset(files: folder.file("no*.csv"), fields: x, reading: DataReading()) }.contains(
        "fits no file"))
  }

  @Test func textsAreCategoriesInTheirOrder() throws {
    let path = try folder.write("t.csv", "x,v\nred,1\nblue,2\nred,3\ngreen,4\n")
    #expect(try values(Dataset(path: path, fields: x).train) == [2, 0, 2, 1])
    let mixed = try folder.write("m.csv", "x\n1\nred\n")
    #expect(
      message { _ = try Dataset(path: mixed, fields: x) }.contains("m.csv:3:1: 'red' in column 'x' is not a number"))
    var reading = DataReading()
    reading.categories = ["x"]
    let own = try Dataset(path: path, fields: [DataField(parameter: "x", key: "x")], reading: reading)
    #expect(try values(own.train) == [2, 0, 2, 1])
    let float = [DataField(parameter: "x", key: "x", dtype: .f32)]
    #expect(message { _ = try Dataset(path: path, fields: float) }.contains("'red' in column 'x' is not a number"))
  }

  @Test func knownCategoriesKeepTheirNumbers() throws {
    let path = try folder.write("k.csv", "x\nred\npink\nblue\n")
    var reading = DataReading()
    reading.categoryRules = CategoryRules(known: ["x": ["blue", "green", "red"]])
    #expect(
      message { _ = try Dataset(path: path, fields: x, reading: reading) }.contains(
        "k.csv:3:1: 'pink' in column 'x' is no category that training saw: 'blue', 'green', 'red'"))
    for (rule, expected) in [
      ("drop", [2.0, 0]), ("last", [2, 3, 0]), ("x:last,drop", [2, 3, 0]), ("y:last, drop", [2, 0]),
    ] {
      var own = reading
      let isTaken = own.categoryRules.setUnseen(rule)
      #expect(isTaken)
      #expect(try values(Dataset(path: path, fields: x, reading: own).train) == expected, "\(rule)")
    }
    for text in ["keep", "", "x:"] {
      let isTaken = reading.categoryRules.setUnseen(text)
      #expect(!isTaken, "\(text)")
    }
    reading.categoryRules = CategoryRules(known: [:])
    #expect(
      message { _ = try Dataset(path: path, fields: x, reading: reading) }.contains(
        "'red' in column 'x' is not a number"))
  }

  @Test func filesThatAreOneShareTheirCategories() throws {
    try folder.write("c1.csv", "x\nred\nblue\n")
    try folder.write("c2.csv", "x\ngreen\nred\n")
    let data = try Dataset(files: folder.file("c*.csv"), fields: x, reading: DataReading())
    #expect(try values(data.train) == [2, 0, 1, 2])
    #expect(data.categories == ["x": ["blue", "green", "red"]])
  }

  @Test func gapsGoByTheRule() throws {
    let path = try folder.write("g.csv", "x,split\n1,train\n,train\n3,train\nNA,test\n7,test\n")
    let fields = [DataField(parameter: "x", key: "x", dtype: .f32)]
    func read(_ rule: MissingRule) throws -> Dataset {
      try Dataset(path: path, fields: fields, reading: DataReading(missing: rule))
    }
    #expect(try values(read(.drop).train) == [1, 3] && values(read(.drop).test) == [7])
    #expect(try values(read(.mean).train) == [1, 2, 3] && values(read(.mean).test) == [2, 7])
    #expect(try values(read(.zero).train) == [1, 0, 3])
    #expect(message { _ = try Dataset(path: path, fields: fields) }.contains("an empty field in column 'x'"))
  }

  /// A large array stays in its file, and gives the same rows.
  @Test(arguments: ["npy", "safetensors"]) func largeRowsAreMapped(_ ending: String) throws {
    let (rows, width) = (70_000, 256)
    let values = (0..<rows).flatMap { row in [Float](repeating: Float(row), count: width) }
    let tensor = try #require(Tensor(values, shape: [rows, width]))
    let path = folder.file("large.\(ending)")
    if ending == "npy" { try writeNPY(path, tensor) } else { try writeSafetensors(path, [("x", tensor)]) }
    let data = try Dataset(path: path, fields: [DataField(parameter: "x", key: "x", dtype: .f32)])
    let held = try #require(data.train.tensors["x"])
    #expect(held.isMapped && held == tensor && held.hashValue == tensor.hashValue)
    let batch = try #require(try data.train.batch([69_999, 3][...])["x"])
    #expect(batch.doubles == [Double](repeating: 69_999, count: width) + [Double](repeating: 3, count: width))
  }

  @Test func rowsComeAsOftenAsTheyWeigh() throws {
    let weights = [0.0, 1, 3, 0]
    var batches = try BatchSequence(rows: 4, batch: 4, seed: 5, weights: weights)
    var counts = [0.0, 0, 0, 0]
    for attempt in 0..<2000 { for row in batches.rows(of: attempt) { counts[Int(row)] += 1 } }
    #expect(counts[0] == 0 && counts[3] == 0)
    #expect(abs(counts[2] / 8000 - 0.75) < 0.02)
    let again = batches.rows(of: 7)
    var others = try BatchSequence(rows: 4, batch: 4, seed: 5, weights: weights)
    #expect(others.rows(of: 7) == again)
  }
}
