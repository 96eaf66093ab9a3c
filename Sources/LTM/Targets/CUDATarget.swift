import LTMCUDA
import LTMIR
import LTMKernelPasses
import LTMKernels
import LTMPTX
import LTMSupport

extension CUDABackend: TargetBackend {
  init(_ request: TargetRequest) throws(LTMError) { try self.init(gpus: request.gpus ?? 1) }

  static func status(_ request: TargetRequest) -> TargetStatus {
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

  static func choices(of compilation: Compilation, architecture: String?) throws(LTMError) -> TargetChoices {
    let launches = try Compilation.launches(compilation.plan(epilogueReductions: false), for: architecture)
    let ptx = try reporting { try emitDevice(launches.plan.kernels, as: .ptx, launches.architecture) }
    return TargetChoices(cuda: launches, PTXEntry.read(ptx))
  }

  static func dump(_ graph: Graph, architecture: String?) throws(LTMError) -> [(name: String, text: String)] {
    let launches = try Compilation.launches(
      reporting { try buildPlan(graph, epilogueReductions: false, takesAttention: false) }, for: architecture)
    func module(_ form: DeviceForm) throws(LTMError) -> String {
      try reporting { try emitDevice(launches.plan.kernels, as: form, launches.architecture) }
    }
    return [
      ("kernels.txt", launches.plan.description), ("launch.txt", launches.description),
      ("kernels.ll", try module(.llvmIR)), ("kernels.ptx", try module(.ptx)),
    ]
  }
}

extension TargetChoices {
  fileprivate init(cuda launches: LaunchPlan, _ entries: [String: PTXEntry]) {
    let plan = launches.plan
    self.init(
      title: "target cuda: code for \(launches.architecture.rawValue); \(plan.launches.count) launches, arena "
        + "\(plan.arenaBytes) bytes",
      columns: ["kernel", "grid", "block", "shared bytes", "instructions", "strategy", "lines"],
      rows: launches.launched.map { launch, entry in
        let (schedule, code) = (entry.schedule, entries[entry.symbol] ?? PTXEntry())
        return [
          entry.symbol, "\(schedule.grid)", "\(schedule.block)", "\(code.sharedBytes + schedule.sharedBytes)",
          code.instructions, schedule.summary, lines(of: plan.kernels[launch.kernel]),
        ]
      })
  }
}

/// What the PTX of a kernel says of it.
private struct PTXEntry {
  var sharedBytes = 0
  /// What moves and multiplies matrices.
  var instructions = "-"

  /// The entries of a module, by name.
  static func read(_ ptx: String) -> [String: PTXEntry] {
    var entries: [String: PTXEntry] = [:]
    for section in ptx.split(separator: ".entry ").dropFirst() {
      var entry = PTXEntry()
      for match in section.matches(of: /\.shared \.align \d+ \.b8 \S+?\[(\d+)\]/) {
        entry.sharedBytes += Int(match.1) ?? 0
      }
      var names: [String] = []
      for match in section.matches(of: /\n\s+((?:wgmma\.mma_async|mma\.sync|ldmatrix|cp\.async\.c[ag])[\w.]*)/) {
        // `mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32` is told by its shape and operands.
        let parts = match.1.split(separator: ".")
        let shape = parts.first { $0.hasPrefix("m") && $0.contains("n") && $0.contains("k") }
        let name =
          parts[0] == "ldmatrix"
          ? "ldmatrix"
          : parts[0] == "cp"
            ? "cp.async"
            : ([parts[0]] + [shape, parts.dropLast().last].compactMap { $0 }).joined(separator: ".")
        if !names.contains(name) { names.append(name) }
      }
      if !names.contains(where: { $0.contains("mma") }), let fma = section.firstMatch(of: /fma\.rn\.f(32|64)/) {
        names.append("fma.f\(fma.1)")
      }
      entry.instructions = names.isEmpty ? "-" : names.sorted().joined(separator: " ")
      entries[String(section.prefix { $0 != "(" })] = entry
    }
    return entries
  }
}
