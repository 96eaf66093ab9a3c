import LTMHLO
import LTMIR
import LTMPrecision
import LTMSupport

extension TPUBackend: TargetBackend {
  static var sixteen: DType { .bf16 }
  static var stages: [Stage] { Stage.beforeTargets + [.stablehlo] }

  init(_ request: TargetRequest) throws(LTMError) {
    try self.init(plugin: request.pjrtPlugin, cores: request.tpuCores)
  }

  static func status(_ request: TargetRequest) -> TargetStatus {
    let compiles = "'ltm compile --target tpu --emit stablehlo' needs nothing of this"
    do throws(PJRTError) {
      let plugin = try PJRTPlugin.open(pluginPath(request.pjrtPlugin))
      let client = try PJRTClient(plugin)
      let api = "\(plugin.version.major).\(plugin.version.minor)"
      return TargetStatus(
        target: .tpu, runs: true,
        found: [
          "the PJRT plugin \(plugin.path), version \(api) of the C API",
          "platform \(client.platform), devices: \(client.deviceCount)",
          compiles,
        ], missing: [])
    } catch {
      return TargetStatus(
        target: .tpu, runs: false, found: [compiles],
        missing: [
          error.description,
          "a machine with a TPU has libtpu.so; --pjrt-plugin PATH or TPU_LIBRARY_PATH names it or another plugin",
        ])
    }
  }

  static func choices(of compilation: Compilation, architecture: String?) throws(LTMError) -> TargetChoices {
    TargetChoices(stableHLO: try compilation.stableHLOText(), compilation.policy)
  }

  static func dump(_ graph: Graph, architecture: String?) throws(LTMError) -> [(name: String, text: String)] {
    [("stablehlo.mlir", try reporting { try stableHLO(graph) })]
  }
}

extension TargetChoices {
  fileprivate init(stableHLO text: String, _ policy: PrecisionPolicy) {
    let narrowed = text.matches(of: /stablehlo\.reduce_precision/).count
    let half = policy.half.map { "16 bits are \($0)" } ?? "no 16 bits"
    let products = text.matches(
      of: /stablehlo\.(dot_general|convolution) .*?precision = \[(\w+), \w+\].* : \((.*)\) -> (\S+) loc\((.*)\)/)
    self.init(
      title: "target tpu: \(half); products have f32 sums; \(narrowed) casts narrow, each behind a reduce_precision",
      columns: ["product", "precision", "operands", "result", "lines"],
      rows: products.map { match in
        let place = String(match.5).firstMatch(of: /"([^"]+)":(\d+):(\d+)/).map { "\($0.1):\($0.2)" } ?? "-"
        return [String(match.1), String(match.2), String(match.3), String(match.4), place]
      })
  }
}
