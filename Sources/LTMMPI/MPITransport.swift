import LTMSupport

/// Messages by MPI. All calls come from the thread that started it.
final class MPITransport: Transport {
  private let library: MPILibrary
  /// A communicator of our own: messages of a program that embeds this are never mixed with ours.
  private var communicator: Int
  /// Whether MPI was started here, and is ended here.
  private let owns: Bool
  let rank: Int
  let count: Int
  var description: String { library.version }

  init(_ library: MPILibrary) throws(Diagnostic) {
    let functions = library.functions
    self.library = library
    owns = try Self.start(library)
    communicator = library.handles.world
    var own = 0
    try Self.check(functions.duplicate(library.handles.world, &own), functions, "MPI_Comm_dup")
    communicator = own
    try Self.check(
      functions.setErrorHandler(own, library.handles.errorsReturn), functions, "MPI_Comm_set_errhandler")
    var (number, size): (Int32, Int32) = (0, 0)
    try Self.check(functions.rank(own, &number), functions, "MPI_Comm_rank")
    try Self.check(functions.size(own, &size), functions, "MPI_Comm_size")
    (rank, count) = (Int(number), Int(size))
  }

  /// Starts MPI, unless the program that embeds this did, and asks that the thread of these calls may make them.
  ///
  /// - Returns: whether MPI was started here.
  private static func start(_ library: MPILibrary) throws(Diagnostic) -> Bool {
    let (functions, handles) = (library.functions, library.handles)
    var (isRunning, level): (Int32, Int32) = (0, 0)
    try check(functions.initialized(&isRunning), functions, "MPI_Initialized")
    if isRunning == 0 {
      try check(functions.initThread(nil, nil, handles.serialized, &level), functions, "MPI_Init_thread")
    } else {
      try check(functions.queryThread(&level), functions, "MPI_Query_thread")
    }
    guard level >= (isRunning == 0 ? handles.funneled : handles.serialized) else {
      throw Diagnostic(
        .error, "\(library.version) lets only its main thread call MPI, and ranks are served by one of their own",
        notes: [
          "start MPI by MPI_Init_thread with MPI_THREAD_SERIALIZED or more, or take a library that was built with threads"
        ])
    }
    return isRunning == 0
  }

  private static func check(_ code: Int32, _ functions: MPIFunctions, _ name: String) throws(Diagnostic) {
    guard code != 0 else { return }
    throw Diagnostic(.error, "\(name) failed: \(functions.message(code))")
  }

  func send(
    _ bytes: UnsafeRawBufferPointer, to rank: Int, _ message: UnsafeMutablePointer<Message>
  ) throws(Diagnostic) {
    let code = library.functions.send(
      bytes.baseAddress, Int32(bytes.count), library.handles.byte, Int32(rank), 0, communicator, message)
    try check(code, "sending to", rank)
  }

  func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from rank: Int, _ message: UnsafeMutablePointer<Message>
  ) throws(Diagnostic) {
    let code = library.functions.receive(
      bytes.baseAddress, Int32(bytes.count), library.handles.byte, Int32(rank), 0, communicator, message)
    try check(code, "receiving from", rank)
  }

  func isDone(_ message: UnsafeMutablePointer<Message>) throws(Diagnostic) -> Bool {
    var flag: Int32 = 0
    try check(
      library.functions.test(message, &flag, library.handles.ignoredStatus), "the connection to", message.pointee.peer)
    return flag != 0
  }

  private func check(_ code: Int32, _ action: String, _ peer: Int) throws(Diagnostic) {
    guard code != 0 else { return }
    throw Diagnostic(.error, "rank \(rank): \(action) rank \(peer) failed: \(library.functions.message(code))")
  }

  func abort(_ code: Int32) { _ = library.functions.abort(library.handles.world, code) }

  func finish() { if owns { _ = library.functions.finalize() } }
}
