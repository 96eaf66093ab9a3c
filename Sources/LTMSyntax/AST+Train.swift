import LTMSupport

/// `train Digits(hidden: 64) { ... }`: defaults for training, each of which a flag or Swift can override.
public struct TrainDeclaration: Sendable {
  package var model: Identifier
  package var arguments: [Argument]
  package var items: [TrainItem]
  package var span: Span
}

/// A line of a `train` block.
public enum TrainItem: Sendable {
  /// `data "file" { parameter: key, ... }`
  case data(StringLiteral, fields: [DataFieldSyntax], Span)
  /// `minimize loss`
  case minimize(Identifier, Span)
  /// `report accuracy`
  case report(Identifier, Span)
  /// `optimizer AdamW(lr: 3e-3)`
  case optimizer(Identifier, [Argument], Span)
  /// `schedule cosine(warmup: 50)`
  case schedule(Identifier, [Argument], Span)
  /// `batch 64`, `epochs 20`, `steps 1000`, `seed 1`
  case setting(Identifier, Expr, Span)

  package var span: Span {
    switch self {
    case .data(_, fields: _, let span), .minimize(_, let span), .report(_, let span), .optimizer(_, _, let span),
      .schedule(_, _, let span), .setting(_, _, let span):
      span
    }
  }
}

/// `image: x`: the entry's parameter, and the key in the data file (`x_train`, `x_test`).
public struct DataFieldSyntax: Sendable {
  package var parameter: Identifier
  package var key: Identifier
}
