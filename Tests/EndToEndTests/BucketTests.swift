import Foundation
import LTM
import LTMIR
import TestSupport
import Testing

/// Sizes that only data decides, filled up to bounds.
@Suite struct BucketTests {
  private static let model = """
    model Mean(vocab: Int = 20, dim: Int = 4) {
      let words = Embedding(vocab, dim)
      func forward(tokens: i32[B, T], there: bool[B, T]) -> ([B, dim], [B, T]) {
        let known = where(unsqueeze(there, 2), words(tokens), 0)
        return (sum(known, axis: 1), sum(known, axis: 2))
      }
      func bare(tokens: i32[B, T]) -> [B, T] { return sum(words(tokens), axis: 2) }
      func odd(tokens: i32[B, T + 1], there: bool[B, T]) -> [B] { return sum(words(tokens), axis: [1, 2]) }
    }
    """

  private func model() throws -> Model {
    let folder = try TemporaryFolder()
    return try Model(contentsOf: folder.write("m.ltm", Self.model), seed: 3)
  }

  private func inputs(_ rows: Int, _ length: Int) throws -> [String: Tensor] {
    let ids = (0..<rows * length).map { Double($0 * 7 % 20) }
    let mask = (0..<rows * length).map { Double($0 % 5 == 4 ? 0 : 1) }
    return [
      "tokens": try #require(Tensor(ids, shape: [rows, length], dtype: .i32)),
      "there": try #require(Tensor(mask, shape: [rows, length], dtype: .bool)),
    ]
  }

  @Test func resultsAreThoseOfTheExactSizes() throws {
    let model = try model()
    let exact = try model.compile("forward")
    let bucketed = try model.compile("forward", buckets: try Buckets(["T": [16, 8], "B": [4]]))
    for (rows, length) in [(1, 3), (3, 8), (4, 13), (2, 16), (5, 19)] {
      let inputs = try inputs(rows, length)
      let (wanted, found) = (try exact(inputs), try bucketed(inputs))
      for (one, other) in zip(wanted, found) {
        #expect(other.tensor.shape == one.tensor.shape)
        expectClose(other.tensor.doubles, one.tensor.doubles, .ofLargest(1e-6))
      }
    }
    // (4, 8), (4, 16) and (5, 19).
    #expect(bucketed.sizeCount == 3)
    #expect(exact.sizeCount == 5)
  }

  @Test(arguments: [1 << 40, 1 << 62, .max]) func aBoundBeyondMemoryIsAMessage(_ bound: Int) throws {
    let entry = try model().compile("forward", buckets: try Buckets(["T": [bound]]))
    let inputs = try inputs(2, 5)
    #expect { try entry(inputs) } throws: { "\($0)".contains("more than memory holds") }
  }

  @Test func anEntryWithoutAMaskIsAMessage() throws {
    let model = try model()
    #expect { try model.compile("bare", buckets: try Buckets(["T": [8]])) } throws: {
      "\($0)".contains("'bare' has no mask along 'T'")
    }
    #expect { try model.compile("odd", buckets: try Buckets(["T": [8]])) } throws: {
      "\($0)".contains("'tokens' of 'odd'")
    }
    #expect { try model.compile("forward", buckets: try Buckets(["S": [8]])) } throws: {
      "\($0)".contains("'forward' has no dimension 'S'")
    }
    for text in ["T", "T=", "T=0", "T=8,x", "=8"] {
      #expect(throws: LTMError.self, "\(text)") { try Buckets(parsing: [text]) }
    }
  }
}
