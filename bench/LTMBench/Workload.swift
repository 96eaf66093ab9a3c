import LTM
import LTMKernels
import LTMLLVM

/// What is measured: the shapes of `bench/README.md`, the same for every peer.
struct Workload {
  let name: String
  /// The group that it belongs to: W1 and so on.
  let group: String
  let model: String
  let sizes: [String: Int]
  /// The least traffic in elements: each input once, the output once; `nil` where arithmetic is what counts.
  var elements: Int?
  var flops: Double?
  var isTraining = false

  static let all: [Workload] =
    [
      Workload(
        name: "ew_chain", group: "W1", model: "chain", sizes: ["R": 4096, "C": 4096], elements: 3 * 4096 * 4096),
      Workload(
        name: "softmax", group: "W2", model: "softmax", sizes: ["R": 8192, "C": 1024], elements: 2 * 8192 * 1024),
      Workload(
        name: "layernorm", group: "W2", model: "layernorm", sizes: ["R": 8192, "C": 1024], elements: 2 * 8192 * 1024),
      gemm("gemm_512", 512, 512, 512),
      gemm("gemm_1024", 1024, 1024, 1024),
      gemm("gemm_2048", 2048, 2048, 2048),
      gemm("gemm_256x4096x1024", 256, 4096, 1024),
      gemm("gemm_64x1024x1024", 64, 1024, 1024),
      Workload(
        name: "linear_gelu", group: "W3", model: "linear_gelu", sizes: ["M": 512, "N": 3072, "K": 768],
        flops: 2 * 512 * 3072 * 768),
      Workload(
        name: "mlp_adam", group: "W4", model: "mlp", sizes: ["B": 256], flops: 256 * (3 * layers - inputGradient),
        isTraining: true),
      Workload(
        name: "cnn_sgd", group: "W6", model: "cnn", sizes: ["B": 64], flops: 64 * (3 * images - firstImages),
        isTraining: true),
      Workload(
        name: "gpt_adam", group: "W5", model: "gpt", sizes: ["B": 8, "T": 128], flops: 3 * 8 * 128 * token,
        isTraining: true),
      Workload(name: "mlp_infer_b1", group: "W7", model: "mlp", sizes: ["B": 1], flops: layers),
      Workload(name: "mlp_infer_b32", group: "W7", model: "mlp", sizes: ["B": 32], flops: 32 * layers),
      Workload(
        name: "lstm_adam", group: "W10", model: "lstm", sizes: ["B": 32, "T": 128],
        flops: 32 * 128 * (3 * cells - recurrentInput), isTraining: true),
      attention(512), attention(2048),
    ] + products.compactMap(product)

  /// Causal attention of 8 heads of 64, forward and backward: seven products, half of each hidden.
  private static func attention(_ length: Int) -> Workload {
    Workload(
      name: "attention_\(length)", group: "W11", model: "attention_\(length)", sizes: [:],
      flops: 8 * 7 * Double(length) * Double(length) * 64, isTraining: true)
  }

  /// Forward operations of the GPT, a token; attention's hidden half is counted.
  private static let token = Double(4 * (2 * 12 * 256 * 256 + 4 * 128 * 256) + 2 * 256 * 256)

  /// Odd depths, small batches, few rows.
  private static let products = [
    "gemm_4112x65x129", "gemm_129x1025x513", "gemm_129x513x1025", "gemm_8191x127x31", "gemm_8191x31x127",
    "gemm_31x127x8191", "gemm_31x8191x127", "gemm_512x768x50257", "gemm_221x31x31x29", "gemm_nt_96x128x128x64",
    "gemm_96x128x64x128", "gemm_tn_96x128x64x128", "gemm_1x4096x4096", "gemm_2x4096x4096", "gemm_3x4096x4096",
    "gemm_4x4096x4096", "gemm_nt_1x4096x4096", "gemm_nt_3x4096x4096", "gemm_7x8193x3", "gemm_7x3x8193",
  ]

  /// The product that a name says: `gemm[_nt|_tn]_[Bx]MxNxK`, where `nt` has its right operand as `[N, K]` in memory, `tn` its
  /// left one as `[K, M]`.
  private static func product(_ name: String) -> Workload? {
    var parts = name.split(separator: "_").map(String.init)
    guard parts.count > 1, parts.removeFirst() == "gemm", let last = parts.popLast() else { return nil }
    let sizes = last.split(separator: "x").compactMap { Int($0) }
    guard 3...4 ~= sizes.count, sizes.allSatisfy({ $0 > 0 }), parts.isEmpty || parts == ["nt"] || parts == ["tn"] else {
      return nil
    }
    let model = (["gemm"] + parts + (sizes.count == 4 ? ["batch"] : [])).joined(separator: "_")
    return Workload(
      name: name, group: "W9", model: model,
      sizes: Dictionary(uniqueKeysWithValues: zip(["B", "M", "N", "K"].suffix(sizes.count), sizes)),
      flops: sizes.reduce(2) { $0 * Double($1) })
  }

  /// Forward operations of the MLP, a row.
  private static let layers = Double(2 * (784 * 1024 + 1024 * 1024 + 1024 * 10))

  /// The first layer's input needs no gradient.
  private static let inputGradient = Double(2 * 784 * 1024)

  /// Forward operations of the CNN, an image; and those of the first convolution, whose input needs no gradient.
  private static let images = firstImages + Double(2 * (24 * 24 * 64 * 288 + 9216 * 128 + 128 * 10))
  private static let firstImages = Double(2 * 26 * 26 * 32 * 9)

  /// Forward operations of two LSTM layers and the head, a row and step; and those of the gradient that the input does not need.
  private static let cells = Double(2 * (2 * 2048 * 1024 + 512 * 64))
  private static let recurrentInput = Double(2 * 2048 * 512)

  private static func gemm(_ name: String, _ m: Int, _ n: Int, _ k: Int) -> Workload {
    Workload(
      name: name, group: "W3", model: "gemm", sizes: ["M": m, "N": n, "K": k],
      flops: 2 * Double(m) * Double(n) * Double(k))
  }

  /// The workload as something to compile.
  func compilation(_ model: Model, _ policy: PrecisionPolicy) -> Compilation {
    Compilation(model: model, policy: policy, isTrainingStep: isTraining, dimensions: sizes)
  }

  /// What its kernels move and compute at least, all launches together.
  func cost(_ model: Model, _ policy: PrecisionPolicy) throws(LTMError) -> (bytes: Double, flops: Double) {
    let plan = try compilation(model, policy).plan()
    let costs = plan.kernels.map { KernelCost($0) }
    return plan.launches.reduce((0, 0)) {
      ($0.0 + costs[$1.kernel].bytes * Double($1.runs), $0.1 + costs[$1.kernel].flops * Double($1.runs))
    }
  }

  /// Those that a comma-separated list of names and groups means.
  static func named(_ list: String) throws(LTMError) -> [Workload] {
    if list == "all" { return all }
    var chosen: [Workload] = []
    for name in list.split(separator: ",") {
      let found = all.filter { $0.name == name || $0.group == name }
      if let product = product(String(name)), found.isEmpty {
        chosen.append(product)
        continue
      }
      guard !found.isEmpty else {
        throw LTMError("unknown workload '\(name)'", notes: ["there are \(all.map(\.name).joined(separator: ", "))"])
      }
      chosen += found
    }
    return chosen
  }

  /// A dtype name of the benchmarks as a policy: `f16` is half storage throughout, `o2-f16` half with f32 masters.
  func policy(_ dtype: String) throws(LTMError) -> PrecisionPolicy? {
    let parts = dtype.split(separator: "-").map(String.init)
    let scheme = parts.count == 2 ? parts[0] : "all"
    let half = parts.last == "bf16" ? "bf16" : "16"
    if parts.last == "f32" { return try PrecisionPolicy(precision: "32", level: nil, overrides: [], onNonfinite: nil) }
    switch scheme {
    case "all":
      return try PrecisionPolicy(
        precision: half, level: "O3", overrides: [("cast-outputs", "half")], onNonfinite: nil)
    case "amp":
      return isTraining ? try PrecisionPolicy(precision: half, level: "O1", overrides: [], onNonfinite: nil) : nil
    case "o2":
      return isTraining ? try PrecisionPolicy(precision: half, level: "O2", overrides: [], onNonfinite: nil) : nil
    case _: throw LTMError("unknown dtype '\(dtype)'", notes: ["f32, f16, bf16, amp-f16, amp-bf16, o2-f16, o2-bf16"])
    }
  }
}
