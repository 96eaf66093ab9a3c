internal import CCUDA
import Foundation
import LTMSupport
import Synchronization

/// NVIDIA's driver, `libcuda.so.1`, opened at run time: building needs neither CUDA nor a GPU.
package final class CUDADriver: @unchecked Sendable {
  /// Where it came from.
  package let path: String
  /// The CUDA version that it implements: 12040 is 12.4.
  package let version: Int
  /// A table that never changes; any thread may call its functions.
  let functions: CUDAFunctions

  /// The least version: the first that takes the PTX that is emitted, ISA 8.0.
  package static let leastVersion = 12000

  /// The environment variable that names the library.
  package static let variable = "LTM_CUDA_DRIVER"

  /// Where the library is looked for, in order: what the variable names, else the system's own search, then the places
  /// where containers, WSL and distributions put it outside of it.
  package static var places: [String] {
    if let given = environment(variable) { return [given] }
    return [
      "libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1",
      "/run/opengl-driver/lib/libcuda.so.1", "/usr/local/cuda/compat/libcuda.so.1",
    ]
  }

  private static let opened = Mutex<[String: CUDADriver]>([:])

  /// Opens the driver and starts it. A library is opened once and stays.
  package static func open() throws(CUDAError) -> CUDADriver {
    try opened.withLock { (opened) throws(CUDAError) in
      var refusals: [String] = []
      for place in places {
        if let driver = opened[place] { return driver }
        let library: UnsafeMutableRawPointer
        do throws(SystemLibrary.Refusal) {
          library = try SystemLibrary.open(place)
        } catch {
          refusals.append(error.reason)
          continue
        }
        let driver = try CUDADriver(place, library)
        opened[place] = driver
        return driver
      }
      throw CUDAError("looking for NVIDIA's driver", "no library of it could be opened", notes: notes(refusals))
    }
  }

  private static func notes(_ refusals: [String]) -> [String] {
    var notes = refusals.map { "tried \($0)" }
    let module = "/proc/driver/nvidia/version"
    notes.append(
      FileManager.default.fileExists(atPath: module)
        ? "the kernel has NVIDIA's driver (\(module)), so only its library is missing from here"
        : "the kernel has no NVIDIA driver either (\(module) is not there)")
    return notes + [
      "install NVIDIA's driver with CUDA \(versionText(leastVersion)) or newer, or name its library with \(variable)=PATH"
    ]
  }

  private init(_ path: String, _ library: UnsafeMutableRawPointer) throws(CUDAError) {
    let action = "opening NVIDIA's driver '\(path)'"
    let table = UnsafeMutablePointer<CUDAFunctions>.allocate(capacity: 1)
    defer { table.deallocate() }
    if let missing = CUDAFunctionsLoad(library, table) {
      throw CUDAError(
        action, "it has no function \(String(cString: missing))",
        notes: ["it is no NVIDIA driver, or too old: CUDA \(versionText(Self.leastVersion)) or newer is needed"])
    }
    (self.path, functions) = (path, table.pointee)
    var number: Int32 = 0
    let started = functions.cuInit(0)
    let result = started == CUDA_SUCCESS ? functions.cuDriverGetVersion(&number) : started
    version = Int(number)
    try check(result, action)
    guard version >= Self.leastVersion else {
      throw CUDAError(
        action, "it is of CUDA \(versionText(version)), and \(versionText(Self.leastVersion)) or newer is needed",
        notes: ["install a newer NVIDIA driver: 525 was the first with CUDA 12"])
    }
  }

  /// Throws what a function reported, by name.
  func check(_ result: CUresult, _ action: @autoclosure () -> String) throws(CUDAError) {
    guard result != CUDA_SUCCESS else { return }
    var (name, text): (UnsafePointer<CChar>?, UnsafePointer<CChar>?) = (nil, nil)
    _ = functions.cuGetErrorName(result, &name)
    _ = functions.cuGetErrorString(result, &text)
    throw CUDAError(
      action(), name: name.map { String(cString: $0) } ?? "error \(result)",
      text.map { String(cString: $0) } ?? "the driver gives no reason", notes: CUDAError.remedies(result))
  }
}

/// `12.4` of 12040.
package func versionText(_ version: Int) -> String { "\(version / 1000).\(version % 1000 / 10)" }
