/// What a pickle builds: values, and cells for what Python shares by reference. Nothing is ever called or imported: a call is
/// a cell that says what would be called with what.
struct Pickle {
  enum Value: Hashable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(String)
    case bytes([UInt8])
    /// A name that Python would import: `collections.OrderedDict`.
    case global(String)
    /// A tuple, a list, a dictionary or a call, by number.
    case cell(Int)
  }

  struct Cell {
    enum Kind: Hashable { case tuple, list, dictionary, call, persistent }
    var kind: Kind
    /// Elements; of a dictionary keys and values in turns; of a call what is called, then its arguments.
    var items: [Value]
    /// What a call's result would be given as its state.
    var state: Value = .none
  }

  /// Cells stand in a list and name each other by number, so that none is deep: a hostile file nests as it likes.
  fileprivate(set) var cells: [Cell] = []
  fileprivate(set) var root: Value = .none

  /// The cell of a value of a kind.
  func cell(_ value: Value, _ kind: Cell.Kind) -> Cell? {
    guard case .cell(let index) = value, cells[index].kind == kind else { return nil }
    return cells[index]
  }

  /// A dictionary's entries whose keys are texts.
  func entries(_ value: Value) -> [(key: String, value: Value)]? {
    cell(value, .dictionary).map { cell in
      stride(from: 0, to: cell.items.count - 1, by: 2).compactMap { index in
        if case .string(let key) = cell.items[index] { (key, cell.items[index + 1]) } else { nil }
      }
    }
  }
}

/// The bytes of a file as pickles read them, one after the other.
struct PickleReader {
  let source: ByteSource
  private(set) var position: Int
  private var buffer: [UInt8] = []
  private var start = 0

  init(_ source: ByteSource, at position: Int = 0) { (self.source, self.position) = (source, position) }

  mutating func byte() throws(FileError) -> UInt8 {
    if position < start || position >= start + buffer.count {
      start = position
      buffer = try source.read(position, max(1, min(65_536, source.count - position)), "its pickle")
    }
    defer { position += 1 }
    return buffer[position - start]
  }

  mutating func bytes(_ count: Int) throws(FileError) -> [UInt8] {
    if position >= start, count <= start + buffer.count - position {
      defer { position += count }
      return Array(buffer[position - start..<position - start + count])
    }
    let bytes = try source.read(position, count, "a text of its pickle")
    position += count
    return bytes
  }

  /// A number of so many bytes, the least first.
  mutating func number(_ size: Int) throws(FileError) -> Int {
    guard let number = try bytes(size).littleEndian(at: 0, size: size) else { throw damaged("a length is too large") }
    return number
  }

  mutating func text(_ count: Int) throws(FileError) -> String {
    guard let text = String(validating: try bytes(count), as: UTF8.self) else { throw damaged("a text is no UTF-8") }
    return text
  }

  mutating func line() throws(FileError) -> String {
    var bytes: [UInt8] = []
    while true {
      let byte = try byte()
      if byte == 10 { break }
      bytes.append(byte)
      if bytes.count > 65_536 { throw damaged("a line does not end") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw damaged("a text is no UTF-8") }
    return text
  }

  func damaged(_ what: String) -> FileError {
    FileError(source.path, "is a damaged pickle: \(what)", remedy: "copy or download the file again")
  }
}

/// The stack machine of pickles, protocols 0 to 5.
struct PickleMachine {
  private var reader: PickleReader
  private var pickle = Pickle()
  private var stack: [Pickle.Value] = []
  private var marks: [Int] = []
  private var memo: [Int: Pickle.Value] = [:]
  /// What a file may build: more than any model has tensors.
  private static let cellLimit = 4_000_000

  /// Reads one pickle; gives where it ends.
  static func run(_ reader: PickleReader) throws(FileError) -> (pickle: Pickle, end: Int) {
    var machine = PickleMachine(reader: reader)
    while try machine.step() {}
    return (machine.pickle, machine.reader.position)
  }

  private init(reader: PickleReader) { self.reader = reader }

  /// Does what the next byte says; `false` at the end.
  private mutating func step() throws(FileError) -> Bool {
    let code = try reader.byte()
    if try constant(code) { return true }
    if try container(code) { return true }
    switch code {
    case 0x80: _ = try reader.byte()  // PROTO
    case 0x95: _ = try reader.bytes(8)  // FRAME
    case 0x28: marks.append(stack.count)  // MARK
    case 0x30: _ = try pop()  // POP
    case 0x31: _ = try popMark()  // POP_MARK
    case 0x32: stack.append(try top())  // DUP
    case 0x70: try remember(at: Int(try reader.line()))  // PUT
    case 0x71: try remember(at: Int(try reader.byte()))  // BINPUT
    case 0x72: try remember(at: try reader.number(4))  // LONG_BINPUT
    case 0x94: try remember(at: memo.count)  // MEMOIZE
    case 0x67: try recall(Int(try reader.line()))  // GET
    case 0x68: try recall(Int(try reader.byte()))  // BINGET
    case 0x6A: try recall(try reader.number(4))  // LONG_BINGET
    case 0x2E:  // STOP
      pickle.root = try pop()
      return false
    default: throw reader.damaged("byte \(reader.position - 1) is no instruction (\(code))")
    }
    return true
  }

  /// Numbers, texts and names.
  private mutating func constant(_ code: UInt8) throws(FileError) -> Bool {
    switch code {
    case 0x4E: stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case 0x49: stack.append(integer(try reader.line()))  // INT
    case 0x4A: stack.append(.int(Int(Int32(truncatingIfNeeded: try reader.number(4)))))  // BININT
    case 0x4B: stack.append(.int(try reader.number(1)))
    case 0x4D: stack.append(.int(try reader.number(2)))
    case 0x4C: stack.append(integer(String(try reader.line().drop { $0 == "L" })))  // LONG
    case 0x8A: stack.append(long(try reader.bytes(Int(try reader.byte()))))
    case 0x8B: stack.append(long(try reader.bytes(try reader.number(4))))
    case 0x46: stack.append(.float(Double(try reader.line()) ?? .nan))
    case 0x47:  // BINFLOAT, the highest byte first
      let bits = try reader.bytes(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      stack.append(.float(Double(bitPattern: bits)))
    case 0x53: stack.append(.string(try reader.line().trimmingQuotes))
    case 0x56: stack.append(.string(try reader.line()))
    case 0x54, 0x58: stack.append(.string(try reader.text(try reader.number(4))))
    case 0x55, 0x8C: stack.append(.string(try reader.text(Int(try reader.byte()))))
    case 0x8D: stack.append(.string(try reader.text(try reader.number(8))))
    case 0x42: stack.append(.bytes(try reader.bytes(try reader.number(4))))
    case 0x43: stack.append(.bytes(try reader.bytes(Int(try reader.byte()))))
    case 0x8E, 0x96: stack.append(.bytes(try reader.bytes(try reader.number(8))))
    case 0x63: stack.append(.global(try reader.line() + "." + reader.line()))
    case 0x93:  // STACK_GLOBAL
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw reader.damaged("a name is no text")
      }
      stack.append(.global("\(module).\(name)"))
    default: return false
    }
    return true
  }

  /// Tuples, lists, dictionaries, and what would be called.
  private mutating func container(_ code: UInt8) throws(FileError) -> Bool {
    switch code {
    case 0x29: try push(.tuple, [])
    case 0x74, 0x91: try push(.tuple, try popMark())  // TUPLE, FROZENSET
    case 0x85...0x87: try push(.tuple, try pop(Int(code) - 0x84))
    case 0x5D, 0x8F: try push(.list, [])  // EMPTY_LIST, EMPTY_SET
    case 0x6C: try push(.list, try popMark())
    case 0x7D: try push(.dictionary, [])
    case 0x64: try push(.dictionary, try popMark())
    case 0x61: try add(try pop(1))  // APPEND
    case 0x65, 0x75, 0x90: try add(try popMark())  // APPENDS, SETITEMS, ADDITEMS
    case 0x73: try add(try pop(2))  // SETITEM
    case 0x50: try push(.persistent, [.string(try reader.line())])
    case 0x51: try push(.persistent, try pop(1))
    case 0x52, 0x81:  // REDUCE, NEWOBJ
      let parts = try pop(2)
      try call(parts[0], pickle.cell(parts[1], .tuple)?.items ?? [])
    case 0x92:  // NEWOBJ_EX
      let parts = try pop(3)
      try call(parts[0], pickle.cell(parts[1], .tuple)?.items ?? [])
    case 0x6F:  // OBJ
      let parts = try popMark()
      try call(parts.first ?? .none, Array(parts.dropFirst()))
    case 0x69:  // INST
      let name = try reader.line() + "." + reader.line()
      try call(.global(name), try popMark())
    case 0x62:  // BUILD
      let state = try pop()
      if case .cell(let index) = try top(), pickle.cells[index].kind == .call { pickle.cells[index].state = state }
    default: return false
    }
    return true
  }

  /// The containers of Python's own library are made; anything else is only noted.
  private mutating func call(_ callee: Pickle.Value, _ arguments: [Pickle.Value]) throws(FileError) {
    switch callee {
    case .global("collections.OrderedDict"), .global("collections.defaultdict"), .global("builtins.dict"),
      .global("collections.Counter"):
      try push(.dictionary, [])
    default: try push(.call, [callee] + arguments)
    }
  }

  private mutating func push(_ kind: Pickle.Cell.Kind, _ items: [Pickle.Value]) throws(FileError) {
    guard pickle.cells.count < Self.cellLimit else {
      throw reader.damaged("it builds more than \(Self.cellLimit) objects")
    }
    pickle.cells.append(Pickle.Cell(kind: kind, items: items))
    stack.append(.cell(pickle.cells.count - 1))
  }

  /// Adds to the list or dictionary on top of the stack; what a call would give takes items too.
  private mutating func add(_ items: [Pickle.Value]) throws(FileError) {
    guard case .cell(let index) = try top(), pickle.cells[index].kind != .tuple else {
      throw reader.damaged("items are added to what holds none")
    }
    if pickle.cells[index].kind == .list || pickle.cells[index].kind == .dictionary {
      pickle.cells[index].items += items
    }
  }

  private func top() throws(FileError) -> Pickle.Value {
    guard let value = stack.last, stack.count > (marks.last ?? 0) else { throw reader.damaged("its stack is empty") }
    return value
  }

  private mutating func pop() throws(FileError) -> Pickle.Value {
    let value = try top()
    stack.removeLast()
    return value
  }

  private mutating func pop(_ count: Int) throws(FileError) -> [Pickle.Value] {
    guard stack.count - count >= (marks.last ?? 0) else { throw reader.damaged("its stack is empty") }
    let values = Array(stack.suffix(count))
    stack.removeLast(count)
    return values
  }

  private mutating func popMark() throws(FileError) -> [Pickle.Value] {
    guard let mark = marks.popLast() else { throw reader.damaged("its stack has no mark") }
    let values = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return values
  }

  private mutating func remember(at index: Int?) throws(FileError) {
    guard let index, index >= 0 else { throw reader.damaged("a place of its memo is no number") }
    memo[index] = try top()
  }

  private mutating func recall(_ index: Int?) throws(FileError) {
    guard let index, let value = memo[index] else { throw reader.damaged("it recalls what it has not remembered") }
    stack.append(value)
  }

  private func integer(_ text: String) -> Pickle.Value {
    switch text {
    case "01": .bool(true)
    case "00": .bool(false)
    default: Int(text).map { .int($0) } ?? .string(text)
    }
  }

  /// A signed number of any length, the least byte first; one of more than eight bytes stays as it is.
  private func long(_ bytes: [UInt8]) -> Pickle.Value {
    if bytes.count > 8 { return .bytes(bytes) }
    let isNegative = (bytes.last ?? 0) >= 0x80
    var bits: UInt64 = isNegative ? .max : 0
    for byte in bytes.reversed() { bits = bits << 8 | UInt64(byte) }
    return .int(Int(Int64(bitPattern: bits)))
  }
}

extension String {
  fileprivate var trimmingQuotes: String { count >= 2 ? String(dropFirst().dropLast()) : self }
}
