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
  /// `minimize loss`, `minimize loss for "critic.**" { optimizer Adam(lr: 1e-4) }`
  case minimize(MinimizedLoss, Span)
  /// `report accuracy, f1`
  case report([Identifier], Span)
  /// `optimizer AdamW(lr: 3e-3)`
  case optimizer(Identifier, [Argument], Span)
  /// `schedule cosine(warmup: 50)`, `schedule linear(steps: 50) then cosine()`
  case schedule([UsedRule], Span)
  /// `clip norm(1.0)`
  case clip(UsedRule, Span)
  /// `average ema(0.999)`
  case average(UsedRule, Span)
  /// `group "**.bias" { weight_decay: 0 }`
  case group(StringLiteral, [Argument], Span)
  /// `freeze "encoder.**"`
  case freeze(StringLiteral, Span)
  /// `batch 64`, `epochs 20`, `steps 1000`, `seed 1`, `accumulate 4`
  case setting(Identifier, Expr, Span)
  /// `val_split 0.1`, `monitor val_loss`: a line of the trainer's
  case option(Identifier, Expr, Span)

  package var span: Span {
    switch self {
    case .data(_, fields: _, let span), .minimize(_, let span), .report(_, let span), .optimizer(_, _, let span),
      .schedule(_, let span), .clip(_, let span), .average(_, let span), .group(_, _, let span), .freeze(_, let span),
      .setting(_, _, let span), .option(_, _, let span):
      span
    }
  }
}

/// What a line minimizes, and how.
public struct MinimizedLoss: Sendable {
  package var name: Identifier
  /// The paths of the weights; empty for all.
  package var paths: [StringLiteral] = []
  /// What holds for it alone.
  package var items: [TrainItem] = []
}

/// `cosine(warmup: 50)`: a rule by its name, with its arguments.
public struct UsedRule: Sendable {
  package var name: Identifier
  package var arguments: [Argument]
}

/// `image: x`: the entry's parameter, and the key in the data file (`x_train`, `x_test`).
public struct DataFieldSyntax: Sendable {
  package var parameter: Identifier
  package var key: Identifier
}
