import Foundation
import LTM
import LTMSupport
import TestSupport
import Testing

/// The prelude's metrics, put together from batches, against what scikit-learn and SciPy give (scripts/reference/metrics.py).
@Suite struct MetricTests {
  static let source = """
    model M() {
      param w: [] = ones()
      func guess(score: [B, 5]) -> i32[B] { return argmax(w * score, axis: -1) }
      func pred2(rank: [B]) -> i32[B] { return cast(w * rank > 0.5, i32) }
      func loss(rank: [B], score: [B, 5], label: i32[B], binary: i32[B], target: [B], prediction: [B]) -> [] {
        return mean(w * rank)
      }

    """

  /// The name in the fixture, the parameters, and the metric.
  static let metrics: [(name: String, parameters: String, body: String)] = [
    ("accuracy", classes, "accuracy_score(label, guess(score))"),
    ("precision_binary", ranks, "precision_score(binary, pred2(rank))"),
    ("recall_binary", ranks, "recall_score(binary, pred2(rank))"),
    ("f1_binary", ranks, "f1_score(binary, pred2(rank))"),
    ("precision_macro", classes, "precision_score(label, guess(score), classes: 5, average: \"macro\")"),
    ("recall_weighted", classes, "recall_score(label, guess(score), classes: 5, average: \"weighted\")"),
    ("f1_macro", classes, "f1_score(label, guess(score), classes: 5, average: \"macro\")"),
    ("f1_weighted", classes, "f1_score(label, guess(score), classes: 5, average: \"weighted\")"),
    ("balanced", classes, "balanced_accuracy_score(label, guess(score), classes: 5)"),
    ("matthews", classes, "matthews_corrcoef(label, guess(score), classes: 5)"),
    ("kappa", classes, "cohen_kappa_score(label, guess(score), classes: 5)"),
    ("top2", classes, "top_k_accuracy_score(label, score, k: 2)"),
    ("logloss", classes, "log_loss(label, softmax(w * score))"),
    ("brier", ranks, "brier_score_loss(binary, sigmoid(w * rank))"),
    ("perplexed", classes, "perplexity(w * score, label)"),
    ("mse", numbers, "mean_squared_error(target, w * prediction)"),
    ("rmse", numbers, "root_mean_squared_error(target, w * prediction)"),
    ("mae", numbers, "mean_absolute_error(target, w * prediction)"),
    ("mape", numbers, "mean_absolute_percentage_error(target + 20, w * prediction + 20)"),
    ("worst", numbers, "max_error(target, w * prediction)"),
    ("median", numbers, "median_absolute_error(target, w * prediction)"),
    ("r2", numbers, "r2_score(target, w * prediction)"),
    ("explained", numbers, "explained_variance_score(target, w * prediction)"),
    ("pearson", numbers, "pearsonr(target, w * prediction)"),
    ("spearman", numbers, "spearmanr(target, w * prediction)"),
    ("auc", ranks, "roc_auc_score(binary, w * rank)"),
    ("average_precision", ranks, "average_precision_score(binary, w * rank)"),
  ]
  private static let classes = "label: i32[B], score: [B, 5]"
  private static let ranks = "binary: i32[B], rank: [B]"
  private static let numbers = "target: [B], prediction: [B]"

  private static func fixture() throws -> JSON {
    let path = Command.root + "/Tests/EndToEndTests/Fixtures/metrics.json"
    return try JSON(parsing: Array(Data(contentsOf: URL(filePath: path))))
  }

  private static func data(_ fixture: JSON) throws -> [String: Tensor] {
    var data: [String: Tensor] = [:]
    for key in ["label", "binary", "rank", "target", "prediction", "score"] {
      let values = try #require(fixture[key]?.elements).compactMap(\.doubleValue)
      let dtype: DType = key == "label" || key == "binary" ? .i32 : .f64
      data[key] = Tensor(values, shape: key == "score" ? [values.count / 5, 5] : [values.count], dtype: dtype)
    }
    return data
  }

  @Test(arguments: [Precision.sixtyFour, .thirtyTwo]) func areThoseOfScikitLearn(_ precision: Precision) throws {
    let fixture = try Self.fixture()
    let entries = Self.metrics.map { "  func \($0.name)(\($0.parameters)) -> [] { return \($0.body) }\n" }.joined()
    let text =
      Self.source + entries + "}\ntrain M {\n  minimize loss\n  optimizer SGD(lr: 0.0)\n  batch 100\n}\n"
    var model = try Model(text: text)
    try model.setReports(Self.metrics.map(\.name))
    var trainer = try Trainer(precision: precision)
    trainer.maxSteps = 1
    let data = try Self.data(fixture)
    let result = try trainer.fit(&model, data: TrainingData(train: data, test: data))
    #expect(result.reports.count == Self.metrics.count)
    for report in result.reports {
      let expected = try #require(fixture["values"]?[report.name]?.doubleValue, "\(report.name)")
      let isOfBools = report.name == "accuracy" || report.name == "top2"
      let bound = isOfBools ? 0 : precision == .thirtyTwo ? 2e-6 : 1e-12
      #expect(abs(report.value - expected) <= bound * abs(expected), "\(report.name): \(report.value), not \(expected)")
    }
  }

  /// What mixes rows inside of the model is no metric that parts give: it runs on all of them.
  @Test func whatMixesRowsSeesAllOfThem() throws {
    let text = """
      model M() {
        let fc = Linear(2, 1)
        func loss(x: [B, 2]) -> [] { return mean(square(fc(x))) }
        func centred(x: [B, 2]) -> [] { return max(fc(x - mean(x, axis: 0, keep: true))) }
      }
      train M {
        minimize loss
        report centred, loss
        optimizer SGD(lr: 0.0)
        batch 5
      }
      """
    var model = try Model(text: text)
    let x = try #require(Tensor((0..<1200).map { sin(Float($0)) }, shape: [600, 2]))
    var trainer = try Trainer()
    trainer.maxSteps = 1
    let result = try trainer.fit(&model, data: TrainingData(train: ["x": x], test: ["x": x]))
    let whole = try model.compile("centred")(["x": x])[0].tensor.doubles[0]
    #expect(result.reports.map(\.name) == ["centred", "loss"])
    #expect(result.report == whole)
  }
}
