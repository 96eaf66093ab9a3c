import LTMFrontEnd
import LTMIR
import LTMSupport
import TestSupport
import Testing

/// The prelude's augmentation: what is changed in training, and that nothing is in evaluation.
@Suite struct AugmentationTests {
  static let source = """
    model M() {
      param w: [] = ones()
      func crop(x: [B, 1, 3, 4]) -> [B, 1, 3, 4] { return random_crop(w * x, 1) }
      func flip(x: [B, 1, 3, 4]) -> [B, 1, 3, 4] { return horizontal_flip(w * x, 0.25) }
      func noise(x: [B, 1, 3, 4]) -> [B, 1, 3, 4] { return gaussian_noise(w * x, 0.5) }
      func mix(x: [B, 1, 3, 4], y: [B, 2]) -> ([B, 1, 3, 4], [B, 2]) { return mixup(w * x, y, 0.5) }
    }
    """
  private static let rows = 6
  /// No two elements are equal, and none is 0.
  private static let x = (1...rows * 12).map { Double($0) }

  private func run(_ entry: String, attempts: Int, training: Bool = true) throws -> [[[Double]]] {
    let file = try load(path: "m.ltm") { _ in Array(Self.source.utf8) }
    let graph = try file.instantiate(model: "M").graph(entry: entry, training: training)
    var inputs: [String: Tensor] = [:]
    inputs["w"] = Tensor([1], shape: [], dtype: .f32)
    inputs["x"] = Tensor(Self.x, shape: [Self.rows, 1, 3, 4], dtype: .f64)
    inputs["y"] = Tensor((0..<Self.rows * 2).map { Double($0) }, shape: [Self.rows, 2], dtype: .f64)
    inputs[Graph.seed] = Tensor([3, 1, 4, 1], shape: [4], dtype: .i32)
    let names = graph.outputs.map(\.name)
    return try (0..<attempts).map { attempt in
      inputs[Graph.attempt] = Tensor([Double(attempt)], shape: [], dtype: .i32)
      let taken = inputs.filter { graph.input($0.key) != nil }
      let outputs = try graph.evaluate(taken)
      return try names.map { try #require(outputs[$0]).data }
    }
  }

  private func image(_ values: [Double], _ row: Int) -> [Double] { Array(values[row * 12..<row * 12 + 12]) }

  @Test(arguments: ["crop", "flip", "noise", "mix"]) func isLeftAloneInEvaluation(_ entry: String) throws {
    #expect(try run(entry, attempts: 1, training: false)[0][0] == Self.x)
  }

  @Test func cropsAreImagesThatWereMoved() throws {
    func moved(_ image: [Double], _ down: Int, _ right: Int) -> [Double] {
      (0..<12).map { (place: Int) -> Double in
        let (row, column) = (place / 4 + down, place % 4 + right)
        return (0..<3).contains(row) && (0..<4).contains(column) ? image[row * 4 + column] : 0
      }
    }
    var seen: Set<[Int]> = []
    for outputs in try run("crop", attempts: 30) {
      for row in 0..<Self.rows {
        let source = image(Self.x, row)
        let shifts = (-1...1).flatMap { down in (-1...1).map { [down, $0] } }
        let shift = try #require(shifts.first { moved(source, $0[0], $0[1]) == image(outputs[0], row) })
        seen.insert(shift)
      }
    }
    #expect(seen.count == 9)
  }

  @Test func flipsComeAsOftenAsTheirProbability() throws {
    var count = 0
    for outputs in try run("flip", attempts: 200) {
      for row in 0..<Self.rows {
        let source = image(Self.x, row)
        let mirrored = (0..<12).map { (place: Int) -> Double in
          let column = 3 - place % 4
          return source[place / 4 * 4 + column]
        }
        let found = image(outputs[0], row)
        #expect(found == source || found == mirrored)
        count += found == mirrored ? 1 : 0
      }
    }
    #expect(abs(Double(count) / 1200 - 0.25) < 0.05, "\(count)")
  }

  @Test func noiseHasItsDeviation() throws {
    var noise: [Double] = []
    for outputs in try run("noise", attempts: 50) {
      for (found, source) in zip(outputs[0], Self.x) { noise.append(found - source) }
    }
    let mean = noise.reduce(0, +) / Double(noise.count)
    var squares = 0.0
    for value in noise { squares += value * value }
    let variance = squares / Double(noise.count)
    #expect(abs(mean) < 0.03 && abs(variance - 0.25) < 0.02, "\(mean) \(variance)")
  }

  /// Rows and targets are mixed alike, by numbers with the mean 1/2 and the variance 1/8 of Beta(1/2, 1/2).
  @Test func mixedRowsAndTargetsGoTogether() throws {
    var lambdas: [Double] = []
    for outputs in try run("mix", attempts: 400) {
      var found: Double?
      for row in 0..<Self.rows {
        // x and y both grow evenly from row to row, so that the other row shows in both as the same place between rows.
        let place = (outputs[0][row * 12] - 1) / 12
        #expect(abs(place - outputs[1][row * 2] / 2) < 1e-5)
        if found == nil, abs(place - Double(row)) > 1e-9, let other = partner(of: row, outputs[0]) {
          found = (place - Double(other)) / Double(row - other)
        }
      }
      if let found { lambdas.append(found) }
    }
    let mean = lambdas.reduce(0, +) / Double(lambdas.count)
    var squares = 0.0
    for lambda in lambdas { squares += (lambda - mean) * (lambda - mean) }
    let variance = squares / Double(lambdas.count)
    #expect(lambdas.allSatisfy { $0 >= 0 && $0 <= 1 } && lambdas.count > 300)
    #expect(abs(mean - 0.5) < 0.06 && abs(variance - 0.125) < 0.03, "\(mean) \(variance)")
  }

  /// The row that a row was mixed with: the one by which all rows have one number between 0 and 1.
  private func partner(of row: Int, _ values: [Double]) -> Int? {
    var places: [Double] = []
    for row in 0..<Self.rows { places.append((values[row * 12] - 1) / 12) }
    var candidates: [Int] = []
    for other in 0..<Self.rows where other != row {
      let lambda = (places[row] - Double(other)) / Double(row - other)
      if lambda >= -1e-6, lambda < 1 - 1e-6, arePartners(places, lambda) { candidates.append(other) }
    }
    return candidates.count == 1 ? candidates[0] : nil
  }

  /// Whether with this number every row's partner is a row, each that of one.
  private func arePartners(_ places: [Double], _ lambda: Double) -> Bool {
    var partners: Set<Int> = []
    for (row, place) in places.enumerated() {
      let partner = (place - lambda * Double(row)) / (1 - lambda)
      guard abs(partner - partner.rounded()) < 1e-3 else { return false }
      partners.insert(Int(partner.rounded()))
    }
    return partners.count == places.count
  }
}
