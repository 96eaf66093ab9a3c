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

  private static let serialized: Int32 = 2

  init(_ library: MPILibrary) throws(Diagnostic) {
    let functions = library.functions
    self.library = library
    var (isRunning, given): (Int32, Int32) = (0, 0)
    try Self.check(functions.initialized(&isRunning), functions, "MPI_Initialized")
    owns = isRunning == 0
    if owns { try Self.check(functions.initThread(nil, nil, Self.serialized, &given), functions, "MPI_Init_thread") }
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
