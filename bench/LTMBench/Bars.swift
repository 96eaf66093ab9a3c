import Foundation

/// What the CPU backend has to reach, held against what a run measured.
struct Bars {
  /// One bar.
  struct Check {
    let what: String
    var dtype = ""
    var threads: Int?
    let bar: Double
    var isUpperBound = false
    let reached: Double?
    var isLoaded = false

    var cells: [String] {
      let verdict = reached.map { (isUpperBound ? $0 <= bar : $0 >= bar) ? "met" : "missed" } ?? ""
      return [
        what, dtype, threads.map(String.init) ?? "", (isUpperBound ? "at most " : "") + decimal(bar, 2),
        reached.map { decimal($0, 2) } ?? "-", verdict + (isLoaded ? " (loaded)" : ""),
      ]
    }
  }

  let results: Results
  private static let products = Workload.all.filter { $0.group == "W3" && $0.name != "linear_gelu" }.map(\.name)

  init(_ results: Results) { self.results = results }

  var checks: [Check] { ratios + leastRatios + shares + own + start + memory }

  /// The best peer's time over ours: what, workloads, and for each dtype the bar for one thread and for two.
  private static let ratioBars: [(String, [String], [(String, Double, Double)])] = [
    ("W1 elementwise", ["ew_chain"], [("f32", 2, 1.3), ("f16", 5, 4), ("bf16", 5, 4)]),
    ("W2 softmax", ["softmax"], [("f16", 2, 1.5), ("bf16", 1.4, 1.3)]),
    ("W2 layer norm", ["layernorm"], [("f16", 1.3, 1), ("bf16", 1.5, 1.1)]),
    ("W3 GEMM, geometric mean", products, [("f32", 1.05, 1), ("f16", 1.03, 1.03), ("bf16", 1, 1)]),
    ("W3 linear+gelu", ["linear_gelu"], [("f32", 1.1, 1.05), ("f16", 1.25, 1.25), ("bf16", 1.05, 1.15)]),
    ("W4 MLP step", ["mlp_adam"], [("f32", 1.2, 1.15), ("o2-f16", 1.5, 1.4), ("o2-bf16", 1.2, 1.15)]),
    ("W5 GPT step", ["gpt_adam"], [("f32", 1.8, 1.8), ("o2-bf16", 2.2, 2.2), ("o2-f16", 2.1, 2.1)]),
    ("W11 attention, 512", ["attention_512"], [("f32", 1, 1), ("f16", 2, 2), ("bf16", 1, 1)]),
    ("W11 attention, 2048", ["attention_2048"], [("f32", 1, 1), ("f16", 2, 2), ("bf16", 1, 1)]),
    ("W6 CNN step", ["cnn_sgd"], [("f32", 1.3, 1.3), ("amp-f16", 2.5, 2.5), ("amp-bf16", 1.2, 1.2)]),
    ("W7 batch 1", ["mlp_infer_b1"], [("f32", 1, 1), ("f16", 1, 1)]),
    ("W7 batch 32", ["mlp_infer_b32"], [("f32", 1, 1), ("f16", 1, 1)]),
  ]

  private func ratio(_ workload: String, _ dtype: String, _ threads: Int) -> (value: Double, isLoaded: Bool)? {
    let key = Results.Key(workload: workload, dtype: dtype, threads: threads)
    guard let ours = results.ours(key), let peer = results.bestPeer(key), let mine = ours.median,
      let theirs = peer.median
    else { return nil }
    return (theirs / mine, ours.isLoaded || peer.isLoaded)
  }

  private var ratios: [Check] {
    Self.ratioBars.flatMap { what, workloads, bars in
      bars.flatMap { dtype, one, two in
        [(1, one), (2, two)].map { threads, bar in
          let found = workloads.compactMap { ratio($0, dtype, threads) }
          return Check(
            what: "\(what), peer over ours", dtype: dtype, threads: threads, bar: bar,
            reached: found.count == workloads.count ? geometricMean(found.map(\.value)) : nil,
            isLoaded: found.contains(where: \.isLoaded))
        }
      }
    }
  }

  private var leastRatios: [Check] {
    each(["f32", "f16", "bf16"]) { dtype, threads in
      let found = Self.products.compactMap { ratio($0, dtype, threads) }
      return Check(
        what: "W3 GEMM, worst shape, peer over ours", dtype: dtype, threads: threads, bar: 0.93,
        reached: found.map(\.value).min(), isLoaded: found.contains(where: \.isLoaded))
    }
  }

  private var shares: [Check] {
    let bars = [("f32", 0.95, 0.88), ("f16", 0.91, 0.85), ("bf16", 0.9, 0.8)]
    let products = bars.flatMap { dtype, one, two in
      ["gemm_512", "gemm_1024"].flatMap { name in
        [(1, one), (2, two)].map { threads, bar in
          let row = results.ours(name, dtype, threads)
          return Check(
            what: "W3 \(name), share of the peak", dtype: dtype, threads: threads, bar: bar,
            reached: row.flatMap(results.share), isLoaded: row?.isLoaded ?? false)
        }
      }
    }
    let copies = each(["f32", "f16", "bf16"]) { dtype, threads in
      let row = results.ours("ew_chain", dtype, threads)
      let copy = results.limit("memcpy", threads)
      return Check(
        what: "W1, share of memcpy's bandwidth", dtype: dtype, threads: threads, bar: 0.85,
        reached: row?["GBps"].flatMap { rate in copy.map { rate / $0 } }, isLoaded: row?.isLoaded ?? false)
    }
    return products + copies
  }

  /// Ours against ours: half precision over f32, two threads over one.
  private var own: [Check] {
    let steps = [1, 2].map { threads in
      let (half, full) = (results.ours("mlp_adam", "o2-f16", threads), results.ours("mlp_adam", "f32", threads))
      return Check(
        what: "W4, our fp16 O2 step over our f32 step", threads: threads, bar: 1.05, isUpperBound: true,
        reached: half?.median.flatMap { half in full?.median.map { half / $0 } },
        isLoaded: (half?.isLoaded ?? false) || (full?.isLoaded ?? false))
    }
    let names = Self.products.map { ($0, ["f32", "f16", "bf16"]) } + [("mlp_adam", ["f32", "o2-f16", "o2-bf16"])]
    let scaling = names.flatMap { name, dtypes in
      dtypes.map { dtype in
        let (one, two) = (results.ours(name, dtype, 1), results.ours(name, dtype, 2))
        return Check(
          what: "\(name), two threads over one", dtype: dtype, bar: 1.7,
          reached: one?.median.flatMap { one in two?.median.map { one / $0 } },
          isLoaded: (one?.isLoaded ?? false) || (two?.isLoaded ?? false))
      }
    }
    return steps + scaling
  }

  private var start: [Check] {
    let row = [2, 1].lazy.compactMap { results.ours("cold_mlp_adam", "f32", $0) }.first
    return [
      Check(
        what: "W8 process start to the first step, s", dtype: "f32", bar: 0.3, isUpperBound: true,
        reached: row?["cold_s"]),
      Check(
        what: "W8 the same with a warm cache, s", dtype: "f32", bar: 0.15, isUpperBound: true,
        reached: row?["warm_cache_s"]),
    ]
  }

  private var memory: [Check] {
    let (half, full) = (results.ours("mlp_adam", "o2-f16", 1), results.ours("mlp_adam", "f32", 1))
    let arena = Check(
      what: "W4 arena, O2 over O0", dtype: "f16", bar: 0.6, isUpperBound: true,
      reached: half?["arena_mb"].flatMap { half in full?["arena_mb"].map { half / $0 } })
    let peaks = ["f32", "o2-f16", "o2-bf16"].map { dtype in
      let key = Results.Key(workload: "memory_mlp_adam", dtype: dtype, threads: 1)
      let (ours, peer) = (results.ours(key)?["peak_mb"], results.bestPeer(key)?["peak_mb"])
      return Check(
        what: "W4 peak memory, ours over the leanest peer's", dtype: dtype, bar: 0.5, isUpperBound: true,
        reached: ours.flatMap { ours in peer.map { ours / $0 } })
    }
    return [arena] + peaks
  }

  private func each(_ dtypes: [String], _ check: (String, Int) -> Check) -> [Check] {
    dtypes.flatMap { dtype in [1, 2].map { check(dtype, $0) } }
  }
}

private func geometricMean(_ values: [Double]) -> Double {
  exp(values.reduce(0) { $0 + log($1) } / Double(max(values.count, 1)))
}
