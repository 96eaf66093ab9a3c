import Glibc
import LTMSupport

/// An MPI library, opened at run time: Open MPI, MPICH and what shares its binary interface, or the standard interface of
/// MPI 5. No header is needed, since only a few handles differ: Open MPI's are addresses of symbols, the others' are constants.
final class MPILibrary: Sendable {
  /// The binary interfaces.
  enum Interface: String, Sendable {
    case openMPI = "Open MPI"
    case mpich = "MPICH"
    case standard = "MPI 5 standard"
  }

  let path: String
  let interface: Interface
  /// What it says of itself, in one line.
  let version: String
  let functions: MPIFunctions
  let handles: MPIHandles

  /// Opens a library: a path with a slash, or the name of one of the system's.
  ///
  /// - Parameter runs: whether it is to move messages: then libraries that it opens itself find its symbols.
  init(_ path: String, runs: Bool = true) throws(Diagnostic) {
    self.path = path
    let library: UnsafeMutableRawPointer
    do throws(SystemLibrary.Refusal) {
      library = try SystemLibrary.open(path, sharesSymbols: runs)
    } catch {
      throw Diagnostic(.error, "the MPI library '\(path)' cannot be opened: \(error.reason)")
    }
    guard let functions = MPIFunctions(library) else {
      throw Diagnostic(.error, "'\(path)' is no MPI library: it lacks some of MPI's functions")
    }
    self.functions = functions
    interface =
      dlsym(library, "ompi_mpi_comm_world") != nil
      ? .openMPI : dlsym(library, "MPI_Abi_get_version") != nil && path.contains("_abi") ? .standard : .mpich
    handles = MPIHandles(interface, library)
    version = functions.version()
  }
}

/// The handles that calls take. MPICH's have 32 bits; what is above them is not looked at.
struct MPIHandles: Sendable {
  let world: Int
  let byte: Int
  let errorsReturn: Int
  let ignoredStatus: Int
  /// Levels of threads: one thread calls MPI, the one that started it; any thread does, one at a time.
  let (funneled, serialized): (Int32, Int32)

  init(_ interface: MPILibrary.Interface, _ library: UnsafeMutableRawPointer) {
    func address(_ name: String) -> Int { Int(bitPattern: dlsym(library, name)) }
    (funneled, serialized) = interface == .standard ? (1024, 2048) : (1, 2)
    switch interface {
    case .openMPI:
      (world, byte) = (address("ompi_mpi_comm_world"), address("ompi_mpi_byte"))
      (errorsReturn, ignoredStatus) = (address("ompi_mpi_errors_return"), 0)
    case .mpich: (world, byte, errorsReturn, ignoredStatus) = (0x4400_0000, 0x4c00_010d, 0x5400_0001, 1)
    case .standard: (world, byte, errorsReturn, ignoredStatus) = (0x101, 0x247, 0x143, 0)
    }
  }
}

/// The functions of MPI that are called here.
struct MPIFunctions: Sendable {
  typealias Numbers = UnsafeMutablePointer<Int32>?
  typealias Flag = @convention(c) (UnsafeMutablePointer<Int32>?) -> Int32
  typealias Plain = @convention(c) () -> Int32
  typealias Start = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, Int32, Numbers) -> Int32
  typealias Count = @convention(c) (Int, UnsafeMutablePointer<Int32>?) -> Int32
  typealias Send =
    @convention(c) (UnsafeRawPointer?, Int32, Int, Int32, Int32, Int, UnsafeMutableRawPointer?) -> Int32
  typealias Receive =
    @convention(c) (UnsafeMutableRawPointer?, Int32, Int, Int32, Int32, Int, UnsafeMutableRawPointer?) -> Int32
  typealias Test = @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<Int32>?, Int) -> Int32
  typealias Duplicate = @convention(c) (Int, UnsafeMutablePointer<Int>?) -> Int32
  typealias SetHandler = @convention(c) (Int, Int) -> Int32
  typealias Text = @convention(c) (UnsafeMutablePointer<CChar>?, UnsafeMutablePointer<Int32>?) -> Int32
  typealias ErrorText =
    @convention(c) (Int32, UnsafeMutablePointer<CChar>?, UnsafeMutablePointer<Int32>?) -> Int32
  typealias Abort = @convention(c) (Int, Int32) -> Int32

  let initialized: Flag
  let initThread: Start
  let queryThread: Flag
  let finalize: Plain
  let rank: Count
  let size: Count
  let send: Send
  let receive: Receive
  let test: Test
  let duplicate: Duplicate
  let setErrorHandler: SetHandler
  let libraryVersion: Text
  let errorString: ErrorText
  let abort: Abort

  /// `nil` where one of them is missing.
  init?(_ library: UnsafeMutableRawPointer) {
    func find<F>(_ name: String, as type: F.Type) -> F? {
      dlsym(library, name).map { unsafeBitCast($0, to: type) }
    }
    guard let initialized = find("MPI_Initialized", as: Flag.self),
      let initThread = find("MPI_Init_thread", as: Start.self),
      let queryThread = find("MPI_Query_thread", as: Flag.self), let finalize = find("MPI_Finalize", as: Plain.self),
      let rank = find("MPI_Comm_rank", as: Count.self), let size = find("MPI_Comm_size", as: Count.self),
      let send = find("MPI_Isend", as: Send.self), let receive = find("MPI_Irecv", as: Receive.self),
      let test = find("MPI_Test", as: Test.self), let duplicate = find("MPI_Comm_dup", as: Duplicate.self),
      let setErrorHandler = find("MPI_Comm_set_errhandler", as: SetHandler.self),
      let libraryVersion = find("MPI_Get_library_version", as: Text.self),
      let errorString = find("MPI_Error_string", as: ErrorText.self), let abort = find("MPI_Abort", as: Abort.self)
    else { return nil }
    (self.initialized, self.initThread, self.queryThread) = (initialized, initThread, queryThread)
    self.finalize = finalize
    (self.rank, self.size, self.send, self.receive, self.test) = (rank, size, send, receive, test)
    (self.duplicate, self.setErrorHandler, self.libraryVersion) = (duplicate, setErrorHandler, libraryVersion)
    (self.errorString, self.abort) = (errorString, abort)
  }

  /// The library's own words, the first line of them.
  func version() -> String { text { libraryVersion($0, $1) } }

  /// What an error code means.
  func message(_ code: Int32) -> String { text { errorString(code, $0, $1) } }

  /// A text of a function that fills a buffer: 8192 is the longest that any library gives.
  private func text(_ fill: (UnsafeMutablePointer<CChar>?, UnsafeMutablePointer<Int32>?) -> Int32) -> String {
    var characters = [CChar](repeating: 0, count: 8193)
    var length: Int32 = 0
    guard fill(&characters, &length) == 0 else { return "?" }
    let bytes = characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    let line = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline).first ?? ""
    return line.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}
