import LTMSupport
import Testing

@Suite struct JSONTests {
  @Test func keepsOrderAndExactIntegers() throws {
    let text = #"{"b":9007199254740993,"a":[1,-2.5,true,null,"é\n\u00e9\ud83d\ude00"],"c":{}}"#
    let json = try JSON(parsing: text)
    #expect(json["b"]?.intValue == 9_007_199_254_740_993)
    #expect(json["a"]?[1]?.doubleValue == -2.5)
    #expect(json["a"]?[4]?.stringValue == "é\né😀")
    #expect(json.text() == #"{"b":9007199254740993,"a":[1,-2.5,true,null,"é\né😀"],"c":{}}"#)
    #expect(json.text(sortedKeys: true).hasPrefix(#"{"a":"#))
    #expect(try JSON(parsing: json.text(indent: 2)) == json)
  }

  @Test func printsWhatJSONLacksAsNull() {
    #expect(JSON.array([.number(.nan), .number(.infinity), 0.1]).text() == "[null,null,0.1]")
    #expect(JSON.string("\u{1}\"\\").text() == #""\u0001\"\\""#)
  }

  @Test func indents() {
    let json: JSON = ["a": [1, 2], "b": [], "c": [:]]
    #expect(json.text(indent: 2) == "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": [],\n  \"c\": {}\n}")
  }

  @Test(arguments: [
    ("", "the text ends"), ("{", "expected a string"), ("[1,]", "expected a value"), ("[1 2]", "expected ','"),
    (#"{"a":1,"a":2}"#, "occurs twice"), ("01", "expected a value"), ("1.", "after '.'"), ("1e", "exponent"),
    ("1e999", "too large"), ("\"\u{1}\"", "control"), ("\"", "closing quote"), ("\"\\", "closing quote"),
    (#""\x""#, "unknown escape"), (#""\ud800""#, "surrogate"), (#""\ud800\u0041""#, "surrogate"),
    (#""\u12g4""#, "hexadecimal"),
    ("tru", "expected a value"), ("1 1", "after the value"), ("-", "expected a value"), ("NaN", "expected a value"),
    (#"{"a" 1}"#, "expected ':'"), (#"{"a":1"#, "expected ',' or '}'"),
    (String(repeating: "[", count: 100_000), "deeper"),
  ])
  func refuses(text: String, reason: String) {
    let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
    #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
  }

  @Test func refusesBytesThatAreNotText() {
    #expect(throws: JSONError.self) { try JSON(parsing: [0x22, 0xFF, 0x22]) }
  }
}
