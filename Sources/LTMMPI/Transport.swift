import LTMSupport

/// What moves bytes between ranks. Messages from one rank to another arrive in the order in which they were sent. Used by one
/// thread alone.
package protocol Transport: AnyObject {
  /// This process's number.
  var rank: Int { get }
  /// How many there are.
  var count: Int { get }
  /// What it is, for people.
  var description: String { get }
  /// Begins to send; the bytes stay as they are until it is done.
  func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, _ message: UnsafeMutablePointer<Message>) throws(Diagnostic)
  /// Begins to receive as many bytes.
  func receive(
    _ bytes: UnsafeMutableRawBufferPointer, from rank: Int, _ message: UnsafeMutablePointer<Message>
  ) throws(Diagnostic)
  /// Whether a message is through. Asked until it is.
  func isDone(_ message: UnsafeMutablePointer<Message>) throws(Diagnostic) -> Bool
  /// Ends the whole job, all ranks of it.
  func abort(_ code: Int32)
  /// Leaves in good order, as all ranks do.
  func finish()
}

/// A message under way.
package struct Message {
  /// What the transport knows it by.
  package var handle = 0
  /// The other rank.
  package let peer: Int
  package init(peer: Int) { self.peer = peer }
}
