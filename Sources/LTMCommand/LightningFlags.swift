import LTM

/// Arguments of Lightning 1.0's `Trainer` that are called otherwise here, or are not there: what to use. docs/trainer.md has a row for each.
enum LightningFlags {
  private static let machines =
    "MPI starts several processes, as in mpirun -np 4 ltm train; --gpus 1 and --tpu-cores 8 choose devices"

  static let remedies: [String: String] = [
    "accelerator": machines, "distributed-backend": machines, "num-nodes": machines, "replace-sampler-ddp": machines,
    "prepare-data-per-node": machines,
    "num-processes": "mpirun -np 4 ltm train starts four, and --threads says how many threads each has",
    "auto-select-gpus": "CUDA_VISIBLE_DEVICES chooses a GPU, and --gpus 1 uses it",
    "sync-batchnorm": "the model says so: BatchNorm(64, sync: true)",
    "amp-backend": "--precision and --amp-level say it: there is one backend",
    "auto-lr-find": "--lr gives the learning rate",
    "automatic-optimization": "the step is compiled: an optimizer of your own is written in the .ltm file",
    "benchmark": "kernels are chosen from shapes, never by trial: leave it out",
    "callbacks": "--patience, --save-top-k and --logger are flags; in Swift fit takes an observer",
    "checkpoint-callback": "--save FILE or --save-dir FOLDER writes checkpoints",
    "default-root-dir": "--save-dir is the folder of checkpoints, --log-dir that of logs",
    "flush-logs-every-n-steps": "each line is written at once: leave it out, or see --log-every-n-steps",
    "limit-test-batches": "'ltm eval --on val --limit-val-batches 10' evaluates on a part",
    "log-gpu-memory": "memory is planned and printed before the first step: leave it out",
    "max-epochs": "--epochs is the number of passes over the data",
    "process-position": "there is one progress line, which --quiet hides: leave it out",
    "progress-bar-refresh-rate": "--quiet hides the progress line",
    "reload-dataloaders-every-epoch": "data is read once, and --shuffle orders it anew each epoch: leave it out",
    "resume-from-checkpoint": "--resume goes on from a checkpoint",
    "terminate-on-nan": "--on-nonfinite stop ends a run at the first step that is not finite",
    "weights-save-path": "--save-dir is the folder of checkpoints",
    "weights-summary": "'ltm summary FILE' shows the layers",
  ]

  /// Throws for a flag of Lightning's that `ltm train` does not take.
  static func refuse(in arguments: [String]) throws(LTMError) {
    guard arguments.first == "train" else { return }
    for argument in arguments where argument.hasPrefix("--") {
      let name = String(argument.dropFirst(2).prefix { $0 != "=" }).replacing("_", with: "-")
      guard let remedy = remedies[name], !TrainCommand.helpMessage().contains("--\(name)") else { continue }
      throw LTMError("there is no flag '--\(name)'", notes: [remedy])
    }
  }
}
