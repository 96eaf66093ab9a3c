import LTMIR
import LTMPrecision
import LTMSupport
import TestSupport
import Testing

@Suite("opt levels")
struct PolicyTests {
  static let levels: [OptLevel] = {
    var own = OptLevel.O2
    own.name = "mine"
    own.keepInFloat32 = ["head", "blocks.0.*"]
    own.opClasses = [.softmax: .half, .exp: .follow]
    own.lossScale = .dynamic(DynamicScaling(initial: 1024, window: 500, maximum: 0x1p20))
    var unset = OptLevel.O2
    unset.masterWeights = nil
    unset.lossScale = .static(128.5)
    return OptLevel.standard + [own, unset, OptLevel(name: "plain", castModel: .asIs)]
  }()

  @Test("prints as one line and reads back", arguments: levels)
  func roundTrip(_ level: OptLevel) throws {
    #expect(!level.description.contains("\n"))
    #expect(try OptLevel(parsing: level.description) == level)
  }

  @Test func theRowsAreApexs() {
    let rows = OptLevel.standard.map(\.description).joined(separator: "\n")
    let expected = """
      O0 cast-model=f32 cast-ops=no keep-norm-f32=- master-weights=no loss-scale=off cast-inputs=f32 cast-outputs=f32
      O1 cast-model=as-is cast-ops=yes keep-norm-f32=- master-weights=- loss-scale=dynamic cast-inputs=as-is cast-outputs=as-is
      O2 cast-model=half cast-ops=no keep-norm-f32=yes master-weights=yes loss-scale=dynamic cast-inputs=half cast-outputs=f32
      O3 cast-model=half cast-ops=no keep-norm-f32=no master-weights=no loss-scale=off cast-inputs=half cast-outputs=f32
      """
    #expect(rows == expected)
  }

  static let requests = [
    "16 O0", "16", "16 O2", "16 O3", "bf16", "bf16 O2", "bf16 O2 loss-scale=dynamic", "32", "64",
    "16 O2 loss-scale=128", "32 O0 loss-scale=dynamic", "64 O0 loss-scale=128",
    "16 02", "16 01", "16 o2", "16 O4", "16 fast", "17", "fp16 O1", "16-mixed O1", "bf16-true", "float32", "32 O1",
    "32 O2", "64 O3", "32 O0 cast-model=half",
    "64 O0 cast-ops=yes", "16 O1 cast-model=half", "16 O1 keep-norm-f32=yes", "16 O1 master-weights=yes",
    "16 O1 master-weights=no keep-norm-f32=no", "16 O2 cast-ops=yes", "16 O0 cast-ops=yes", "16 O2 keep-norm-f32=no",
    "16 O2 master-weights=no", "16 O0 master-weights=yes", "16 O2 loss-scale=off", "16 O2 loss-scale=-1",
    "16 O2 loss-scale=nan", "16 O2 loss-scale=1e300", "16 O2 loss-scale=dynmic",
    "16 O2 loss-scale=dynamic:init=4:window=3",
    "16 O2 loss-scale=dynamic:init=0", "16 O2 loss-scale=dynamic:window=1.5", "16 O2 loss-scale=dynamic:min=8:max=4",
    "16 O2 loss-scale=dynamic:growth=0.5", "16 O2 loss-scale=dynamic:speed=2", "16 O2 los-scale=2",
    "16 O2 master-weights=maybe",
    "16 O2 cast-model=bf16", "16 O2 keep-f32=head,blocks.0.*", "16 O2 keep-f32=he-ad", "16 O2 keep-f32=a..b",
    "16 O2 op-class=softmx:half", "16 O2 op-class=softmax:fast", "16 O2 op-class=softmax", "16 O3 master-weights=yes",
  ]

  @Test("every request is answered in words")
  func requestsAreAnswered() throws {
    let answers = Self.requests.map { "> \($0)\n\(answer($0))\n" }.joined(separator: "\n")
    try expectGolden(answers, ownGoldens.appending(path: "policies.txt"))
  }

  private func answer(_ line: String) -> String {
    do {
      let resolved = try policy(line)
      return ([resolved.description] + resolved.warnings.map { $0.rendered() }).joined(separator: "\n")
    } catch let error as DiagnosticSet {
      return error.description
    } catch let error as Diagnostic {
      return error.rendered()
    } catch {
      return "unexpected: \(error)"
    }
  }

  @Test(
    "a level's line with a mistake is an error", arguments: ["", "=", "O2 a", "O2 loss-scale", "02", "loss-scale=1"])
  func badLines(_ line: String) { #expect(throws: Diagnostic.self) { try OptLevel(parsing: line) } }

  @Test func sixteenOnATPUIsBF16WithoutAScale() throws {
    let policy = try PrecisionPolicy(.sixteen, level: .O2, sixteen: .bf16)
    #expect(policy.half == .bf16)
    #expect(policy.level.lossScale == .off)
  }

  @Test func anOwnLevelIsTakenAsItIs() throws {
    var level = OptLevel.O2
    level.name = "mine"
    level.lossScale = .dynamic
    let policy = try PrecisionPolicy(.bf16, level: level)
    #expect(policy.level == level, "who writes a scale into a level of his own wants it")
  }

  @Test func wordsOfTheRunFollowTheScale() throws {
    #expect(try policy("16 O2").onNonfinite == .skip)
    #expect(try policy("bf16 O2").onNonfinite == .stop)
    #expect(try policy("16 O3").onNonfinite == .stop)
    #expect(try policy("16 O2 loss-scale=128").onNonfinite == .skip)
    #expect(try policy("16 O3", onNonfinite: .skip).onNonfinite == .skip)
  }

  @Test(
    "masters are for half parameters",
    arguments: [
      ("16 O2", DType.f16, DType.f32), ("16 O3", .f16, .f16), ("16 O1", .f32, .f32), ("16 O1", .f16, .f32),
      ("64 O0", .f64, .f64), ("bf16 O2", .f32, .f32), ("bf16 O2", .bf16, .f32),
    ])
  func masters(_ line: String, _ parameter: DType, _ stored: DType) throws {
    #expect(try policy(line).optimizerDType(parameter) == stored)
  }
}
