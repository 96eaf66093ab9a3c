import Foundation
import LTM
import TestSupport
import Testing

/// `ltm compile --emit obj`, and a C program that links what it wrote.
@Suite struct ObjectTests {
  /// A C program that reads each argument of the header from a file of its name and writes the result to one.
  private func program(_ header: String, rows: Int) -> String {
    let names = header.matches(of: #/\*(\w+)  \/\*/#).map { String($0.output.1) }
    let arrays = names.map { name in
      name == "result"
        ? "static float result[\(rows) * 10];"
        : "static float \(name)[1 << 16];"
    }
    let reads = names.filter { $0 != "result" }.map { "  if (load(\"\($0).bin\", \($0), sizeof \($0)) != 0) return 2;" }
    return """
      #include <stdio.h>
      #include "digits.h"
      \(arrays.joined(separator: "\n"))
      static int load(const char *path, void *to, size_t limit) {
        FILE *file = fopen(path, "rb");
        if (!file) return 1;
        size_t count = fread(to, 1, limit, file);
        fclose(file);
        return count == 0;
      }
      int main(void) {
      \(reads.joined(separator: "\n"))
        if (Digits_forward(\(names.map { $0 == "image" ? "0" : $0 }.joined(separator: ", "))) != 1) return 3;
        if (Digits_forward(\(names.joined(separator: ", "))) != 0) return 4;
        FILE *file = fopen("result.bin", "wb");
        if (!file || fwrite(result, sizeof result, 1, file) != 1) return 5;
        return fclose(file);
      }

      """
  }

  private func shell(_ line: String, in folder: String) throws -> (status: Int32, output: String) {
    let ran = try Command("/bin/sh", ["-c", line], in: folder)
    return (ran.status, ran.output + ran.errors)
  }

  @Test func aCProgramComputesWhatRunDoes() throws {
    let folder = try TemporaryFolder()
    let (rows, saved) = (4, folder.file("w.safetensors"))
    let model = [CommandTests.digits, "--set", "hidden=16"]
    #expect(try Command(["train"] + model + ["--epochs", "1", "--quiet", "--save", saved]).status == 0)
    let compile = try Command(
      ["compile"] + model
        + ["--emit", "obj", "--entry", "forward", "--dim", "B=\(rows)", "-o", folder.file("digits.o")])
    #expect(compile.status == 0, "\(compile.errors)")
    for name in ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"] {
      let tensor = try TensorFile.read("\(saved):\(name)")
      try Data(tensor.bytes).write(to: URL(filePath: folder.file(name.replacing(".", with: "_") + ".bin")))
    }
    let all = try TensorFile.read("samples/data/digits.safetensors:x_test".rooted)
    let image = try #require(
      Tensor(Array(all.doubles.prefix(rows * 64)), shape: [rows, 64], dtype: .f32))
    try Data(image.bytes).write(to: URL(filePath: folder.file("image.bin")))
    try TensorFile.write([("image", image)], to: folder.file("image.npy"))
    let header = try String(contentsOfFile: folder.file("digits.h"), encoding: .utf8)
    try folder.write("main.c", program(header, rows: rows))
    let built = try shell("cc -Wall -Werror -o main main.c digits.o -lm && ./main", in: folder.path)
    #expect(built.status == 0, "\(built.output)")
    let run = try Command(
      ["run"] + model + [
        "--weights", saved, "--input", "image=\(folder.file("image.npy"))", "-o", folder.file("y.npy"),
      ])
    #expect(run.status == 0, "\(run.errors)")
    let expected = try TensorFile.read(folder.file("y.npy")).doubles
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: folder.file("result.bin"))))
    let found = try #require(Tensor(dtype: .f32, shape: [rows, 10], bytes: bytes)).doubles
    #expect(expected.contains { abs($0) > 0.1 })
    expectClose(found, expected, .relative(1e-5))
  }
}

extension String {
  /// A path of the repository.
  fileprivate var rooted: String { Command.root + "/" + self }
}
