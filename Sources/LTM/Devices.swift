import Foundation
import LTMCUDA
import LTMHLO
import LTMLLVM
import LTMRuntime
import LTMSupport

/// A target on this machine: what was found, and what is missing.
public struct TargetStatus: Sendable {
  /// The target.
  public let target: Target
  /// Whether models run on it here.
  public let runs: Bool
  /// What was found, in lines.
  public let found: [String]
  /// What is missing, and how to get it.
  public let missing: [String]

  /// Looks for every target. Nothing is started that stays, but a plugin or a driver once opened is not closed.
  public static func all(pjrtPlugin: String? = nil) -> [TargetStatus] {
    Target.allCases.map { target in
      switch target {
      case .cpu: cpu
      case .cuda: cuda
      case .tpu: tpu(pjrtPlugin)
      case .interpreter:
        TargetStatus(
          target: .interpreter, runs: true, found: ["the reference in f64, which judges the others; slow"], missing: [])
      }
    }
  }

  private static var cpu: TargetStatus {
    let profile = TargetProfile.host
    let known = ["avx2", "fma", "f16c", "avx512f", "avx512bf16", "avx512fp16", "amx-bf16", "neon", "fullfp16", "bf16"]
    let all = Set(profile.features.split(separator: ",").filter { $0.hasPrefix("+") }.map { String($0.dropFirst()) })
    let features = known.filter(all.contains)
    return TargetStatus(
      target: .cpu, runs: true,
      found: [
        "\(profile.cpu), \(profile.vectorBytes * 8)-bit vectors: \(features.joined(separator: " "))",
        "\(ThreadPool.coreCount) threads; --threads takes fewer or more",
      ], missing: [])
  }

  private static var cuda: TargetStatus {
    var found: [String] = []
    var missing: [String] = []
    var runs = false
    do throws(CUDAError) {
      let driver = try CUDADriver.open()
      found.append("NVIDIA's driver \(driver.path), CUDA \(versionText(driver.version))")
      for device in try driver.devices() {
        let code = device.architecture.map { "code for \($0.rawValue)" } ?? "too old: 7.0 is the least"
        runs = runs || device.architecture != nil
        found.append(
          "GPU \(device.ordinal): \(device.name), compute capability \(device.capabilityText), \(code), "
            + "\(device.multiprocessors) multiprocessors, \(device.memoryBytes / 1_000_000) MB")
      }
      if !runs { missing.append("a GPU that there is code for; CUDA_VISIBLE_DEVICES may hide it") }
    } catch {
      missing += [error.diagnostic.message] + error.notes
    }
    if let assembler = try? Assembler.find() {
      found.append("ptxas \(assembler.path), for 'ltm compile --target cuda --emit cubin'")
    } else {
      missing.append("ptxas, which only --emit cubin needs: scripts/tools.sh installs it, LTM_PTXAS names one")
    }
    found.append("'ltm compile --target cuda' needs nothing of this")
    return TargetStatus(target: .cuda, runs: runs, found: found, missing: missing)
  }

  private static func tpu(_ plugin: String?) -> TargetStatus {
    let compiles = "'ltm compile --target tpu --emit stablehlo' needs nothing of this"
    do throws(PJRTError) {
      let plugin = try PJRTPlugin.open(TPUBackend.pluginPath(plugin))
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

  /// Lines for a terminal.
  public var text: String {
    let head = "\(target.rawValue): \(runs ? "runs" : "compiles, and does not run here")"
    return ([head] + found.map { "  \($0)" } + missing.map { "  missing: \($0)" }).joined(separator: "\n")
  }

  /// The statuses as JSON.
  public static func json(_ statuses: [TargetStatus]) -> String {
    let rows = statuses.map { status -> JSON in
      .object([
        .init("target", .string(status.target.rawValue)), .init("runs", .bool(status.runs)),
        .init("found", .array(status.found.map(JSON.string))),
        .init("missing", .array(status.missing.map(JSON.string))),
      ])
    }
    return JSON.object([.init("version", .string(LTMVersion.current)), .init("targets", .array(rows))]).text(indent: 2)
  }
}
