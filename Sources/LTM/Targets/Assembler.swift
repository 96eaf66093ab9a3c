import Foundation
import LTMRuntime
import LTMSupport

/// NVIDIA's assembler, which turns PTX into code of a GPU. Nothing else of CUDA is needed, nor a GPU.
public struct Assembler: Sendable {
  /// Where it lies.
  public let path: String

  /// Where an assembler is looked for, in order.
  private static var places: [String] {
    let environment = ProcessInfo.processInfo.environment
    let given = environment["LTM_PTXAS"].map { [$0] } ?? []
    let folders = (environment["PATH"] ?? "").split(separator: ":") + ["/usr/local/cuda/bin"]
    let wheels = ".build/tools/lib"
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: wheels)) ?? []
    return given + folders.map { "\($0)/ptxas" }
      + versions.sorted().map { "\(wheels)/\($0)/site-packages/nvidia/cuda_nvcc/bin/ptxas" }
  }

  /// The one that `LTM_PTXAS` names, else that of the path, of `/usr/local/cuda`, or of `.build/tools`.
  public static func find() throws(LTMError) -> Assembler {
    guard let path = places.first(where: FileManager.default.isExecutableFile) else {
      throw LTMError(
        "there is no ptxas, which makes a cubin of PTX",
        notes: [
          "looked for $LTM_PTXAS, ptxas in $PATH and in /usr/local/cuda/bin, and what scripts/tools.sh installs",
          "'--emit ptx' works without it; a GPU's driver takes PTX as it is",
        ])
    }
    return Assembler(path: path)
  }

  /// Assembles a module. The report says registers, shared memory and spills of each kernel.
  public func assemble(_ ptx: String, architecture: String) throws(LTMError) -> (code: [UInt8], report: String) {
    let folder = FileManager.default.temporaryDirectory.appending(path: "ltm-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let (source, target) = (folder.appending(path: "kernels.ptx"), folder.appending(path: "kernels.cubin"))
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data(ptx.utf8).write(to: source)
      let process = Process()
      process.executableURL = URL(filePath: path)
      process.arguments = ["-v", "-arch=\(architecture)", source.path, "-o", target.path]
      let output = Pipe()
      (process.standardOutput, process.standardError) = (output, output)
      try process.run()
      let report = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw LTMError("ptxas refused the kernels for \(architecture)", notes: [report])
      }
      return ([UInt8](try Data(contentsOf: target)), report)
    } catch let error as LTMError {
      throw error
    } catch {
      throw LTMError("\(path) could not be run: \(error.localizedDescription)")
    }
  }
}
