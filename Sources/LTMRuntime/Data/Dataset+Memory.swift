import LTMIR

extension Dataset {
  /// Arrays in memory instead of a file, checked alike; `name` is what messages call them.
  package init(
    name: String, train: [String: Tensor], validation: [String: Tensor] = [:], test: [String: Tensor],
    fields: [DataField]
  ) throws(FileError) {
    func split(_ tensors: [String: Tensor]) throws(FileError) -> Split? {
      tensors.isEmpty ? nil : try Split(name, try named(tensors, fields, name), fields)
    }
    self.init(
      path: name, train: try Split(name, try named(train, fields, name), fields), validation: try split(validation),
      test: try split(test))
  }

  /// The same rows in other dtypes, by parameter: once here instead of batch by batch.
  package func converted(_ dtype: (_ parameter: String) -> DType?) throws(FileError) -> Dataset {
    func convert(_ split: Split) throws(FileError) -> Split {
      let fields = split.tensors.keys.sorted().map { DataField(parameter: $0, key: $0, dtype: dtype($0)) }
      let all = try Split(path, try named(split.tensors, fields, path), fields)
      var images = split.images
      for (name, rows) in images { images[name] = rows.converted(to: dtype(name) ?? rows.dtype) }
      return Split(tensors: all.tensors, count: split.count, rows: split.rows, images: images)
    }
    func convert(_ split: Split?) throws(FileError) -> Split? {
      try split.map { (split) throws(FileError) in try convert(split) }
    }
    return try Dataset(path: path, train: convert(train), validation: convert(validation), test: convert(test))
  }
}

/// The tensor of each field.
private func named(
  _ tensors: [String: Tensor], _ fields: [DataField], _ path: String
) throws(FileError) -> [NamedTensor] {
  var result: [NamedTensor] = []
  for field in fields {
    guard let tensor = tensors[field.parameter] else {
      throw FileError(path, "holds nothing for '\(field.parameter)'", remedy: "give one array for each parameter")
    }
    result.append(NamedTensor(name: field.parameter, tensor: tensor))
  }
  return result
}
