// A process that the tests of atomic saving may kill or starve: `SaveHelper loop PATH STEP` saves again and again, counting
// from STEP; `SaveHelper limit PATH STEP` saves once, with less room for a file than the checkpoint needs.
import Glibc
import LTMIR
import LTMRuntime

/// A checkpoint whose every number is `step`, so that a mixture of two saves shows.
func checkpoint(_ step: Int) -> Checkpoint {
  let tensors = (0..<8).compactMap { index in
    Tensor([Double](repeating: Double(step), count: 20_000 + index), shape: [20_000 + index], dtype: .f64)
      .map { (name: "layer\(index).weight", tensor: $0) }
  }
  return Checkpoint(tensors: tensors, metadata: ["step": String(step)])
}

guard CommandLine.arguments.count == 4, var step = Int(CommandLine.arguments[3]) else { exit(64) }
let path = CommandLine.arguments[2]
do {
  switch CommandLine.arguments[1] {
  case "loop":
    while true {
      try checkpoint(step).save(path: path)
      step += 1
    }
  case "limit":
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: 300_000, rlim_max: 300_000)
    setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit)
    try checkpoint(step).save(path: path)
  case _: exit(64)
  }
} catch {
  print(error)
  exit(1)
}
