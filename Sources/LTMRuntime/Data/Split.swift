import LTMIR
import LTMSupport

extension Dataset.Split {
  /// Converts and checks the tensors of `fields`.
  init(_ path: String, _ named: [NamedTensor], _ fields: [DataField]) throws(FileError) {
    var tensors: [String: Tensor] = [:]
    var first: (name: String, rows: Int)?
    for (item, field) in zip(named, fields) {
      let name = shown(item.name)
      guard let rows = item.tensor.shape.first else {
        throw FileError(
          path, "'\(name)' is a single number, not rows", remedy: "its first dimension must count the rows")
      }
      guard rows > 0, rows <= Int(Int32.max) else {
        throw FileError(path, "'\(name)' has \(rows) rows", remedy: "between 1 and \(Int32.max) can be used")
      }
      if let first, first.rows != rows {
        throw FileError(
          path, "'\(first.name)' has \(first.rows) rows, but '\(name)' has \(rows)",
          remedy: "each row of one needs a row of the other")
      }
      first = first ?? (name, rows)
      tensors[field.parameter] = try checked(item, field, path)
    }
    self.init(tensors: tensors, count: first?.rows ?? 0)
  }

  /// Copies the rows given, one after the other, to `target`, which must have their size.
  package func gather(_ parameter: String, rows: ArraySlice<Int32>, into target: UnsafeMutableRawBufferPointer) {
    guard let tensor = tensors[parameter], let base = target.baseAddress else { return }
    let all = max(tensor.shape.first ?? 1, 1)
    let size = tensor.byteCount / all
    internalCheck(
      target.count == rows.count * size, "batches", "\(target.count) bytes for \(rows.count) rows of \(size)")
    tensor.withUnsafeBytes { bytes in
      guard let source = bytes.baseAddress else { return }
      for (index, place) in rows.enumerated() {
        internalCheck(place >= 0 && place < count, "batches", "row \(place) of \(count)")
        let row = Int(self.rows?[Int(place)] ?? place)
        internalCheck(row < all, "batches", "row \(row) of \(all)")
        (base + index * size).copyMemory(from: source + row * size, byteCount: size)
      }
    }
  }

  /// The rows given, by parameter.
  package func batch(_ rows: ArraySlice<Int32>) throws(FileError) -> [String: Tensor] {
    var batch = gathered(rows)
    for (name, images) in images { batch[name] = try images.batch(rows.map { Int(self.rows?[Int($0)] ?? $0) }) }
    return batch
  }

  private func gathered(_ rows: ArraySlice<Int32>) -> [String: Tensor] {
    tensors.mapValuesWithKey { parameter, tensor in
      let size = rows.count * (tensor.byteCount / max(tensor.shape.first ?? 1, 1))
      let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
        gather(parameter, rows: rows, into: UnsafeMutableRawBufferPointer(buffer))
        filled = size
      }
      return Tensor(dtype: tensor.dtype, shape: [rows.count] + tensor.shape.dropFirst(), bytes: bytes)
    }
  }

  /// These of its rows alone, in the order given.
  package func selecting(_ places: [Int32]) -> Self {
    Self(tensors: tensors, count: count, rows: places.map { rows?[Int($0)] ?? $0 }, images: images)
  }

  /// These of its tensors alone.
  package func only(_ names: Set<String>) -> Self {
    Self(
      tensors: tensors.filter { names.contains($0.key) }, count: count, rows: rows,
      images: images.filter { names.contains($0.key) })
  }

  /// Every row once, in order, in pieces of `batch` rows; the last may be smaller. For evaluation.
  package func evaluationBatches(_ batch: Int) -> [ArraySlice<Int32>] {
    let rows = (0..<Int32(count)).map { $0 }
    return stride(from: 0, to: count, by: max(batch, 1)).map { rows[$0..<min($0 + max(batch, 1), count)] }
  }
}

/// The tensor in the dtype of its parameter, all of it finite.
private func checked(_ item: NamedTensor, _ field: DataField, _ path: String) throws(FileError) -> Tensor {
  let tensor = item.tensor
  let name = shown(item.name)
  let rowSize = max(tensor.count / (tensor.shape.first ?? 1), 1)
  if let index = firstNonFinite(tensor) {
    throw FileError(
      path, "'\(name)' holds \(elementText(tensor, index)) in row \(index / rowSize), element \(index % rowSize)",
      remedy: "remove the row, or replace the value by a finite one")
  }
  guard let dtype = field.dtype else { return tensor }
  let (converted, lost) = convert(tensor, to: dtype)
  if let lost {
    throw FileError(
      path, "'\(name)' holds \(elementText(tensor, lost)) in row \(lost / rowSize), which is no \(dtype)",
      remedy: "the parameter '\(field.parameter)' takes \(dtype)"
        + (dtype.isFloating ? ": scale the values, or use a wider precision" : ", in which every value must be exact"))
  }
  return converted
}

extension [String: Tensor] {
  fileprivate func mapValuesWithKey(_ transform: (String, Tensor) -> Tensor?) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (key, value) in self { result[key] = transform(key, value) }
    return result
  }
}
