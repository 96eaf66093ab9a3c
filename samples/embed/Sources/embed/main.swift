// Loads a model, trains it in 16 bits under a level of its own, and calls it on an array.
import LTM

guard CommandLine.arguments.count == 2 else {
  print("usage: embed MODEL.ltm")
  throw LTMError("no model file given")
}
print("ltm \(LTMVersion.text)")
var model = try Model(contentsOf: CommandLine.arguments[1])
print("\(model.name): \(model.parameters.map(\.name).joined(separator: ", "))")

// Apex's O2, with the last layer kept in f32: what configure_apex was for, as a plain value.
var level = OptLevel.O2
level.name = "O2 with an f32 head"
level.keepInFloat32 = ["fc2"]

var trainer = try Trainer(precision: .sixteen, ampLevel: level)
trainer.maxEpochs = 5
let result = try trainer.fit(&model) { event in
  if case .epoch(let record) = event { print("epoch \(record.epoch + 1): loss \(record.loss)") }
}
for report in result.reports { print("test \(report.name): \(report.value)") }

let forward = try model.compile("forward", precision: .sixteen, ampLevel: .O2)
guard let image = Tensor([Float](repeating: 0.5, count: 2 * 64), shape: [2, 64]) else { throw LTMError("no tensor") }
for (name, tensor) in try forward(["image": image]) { print("\(name): \(tensor.dtype)\(tensor.shape)") }
