#include "engine/json.hpp"

#include "catch.hpp"

#include <string>

namespace {

using engine::json_fields;
using engine::parse_json;

json_fields fields(const std::string& text) { return json_fields(parse_json(text, "c"), "c"); }

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') + std::string(static_cast<std::size_t>(depth), ']');
}

}  // namespace

TEST_CASE("json: depth is bounded, however long the file", "[engine]") {
  CHECK_NOTHROW(parse_json(nested(16), "c"));
  CHECK_THROWS_WITH(parse_json(nested(18), "c"), "c: depth of the JSON is 17, expected at most 16");
  CHECK_THROWS_WITH(parse_json(std::string(1'000'000, '['), "c"), "c: depth of the JSON is 17, expected at most 16");
}

TEST_CASE("json: malformed text is refused", "[engine]") {
  for (const char* text :
       {"", "{", "{\"a\": }", "{\"a\": 1} x", "{\"a\": \"\xff\"}", "{\"a\": 1e999}", "{\"a\": NaN}"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_json(text, "c"), std::runtime_error);
  }
}

TEST_CASE("json: a field named twice is refused at every depth", "[engine]") {
  CHECK_THROWS_WITH(parse_json(R"({"a": 1, "a": 1})", "c"), "c: field \"a\" is there twice, expected once");
  CHECK_THROWS_WITH(parse_json(R"([{"x": {"a": 1, "a": 2}}])", "c"), "c: field \"a\" is there twice, expected once");
  CHECK_NOTHROW(parse_json(R"([{"a": {"a": 1}}, {"a": 2}])", "c"));
}

TEST_CASE("json: fields are read with type and range", "[engine]") {
  const json_fields f = fields(R"({"n": 3, "x": 0.5, "t": "yes", "b": true, "none": null, "list": [1, 2.5]})");
  CHECK(f.integer({"n"}, 1, 3) == 3);
  CHECK_THROWS_WITH(f.integer({"n"}, 4, 9), "c: n is 3, expected a whole number from 4 to 9");
  CHECK_THROWS_WITH(f.integer({"x"}, 0, 9), "c: x is 0.5, expected a whole number from 0 to 9");
  CHECK_THROWS_WITH(f.integer({"t"}, 0, 9), "c: t is \"yes\", expected a whole number from 0 to 9");
  CHECK_THROWS_WITH(f.integer({"none"}, 0, 9), "c: none is absent, expected a whole number from 0 to 9");
  CHECK(f.integer({"none"}, 0, 9, 7) == 7);
  CHECK(f.number({"x"}, 0, 1) == 0.5);
  CHECK(f.number({"n"}, 0, 9) == 3.0);
  CHECK_THROWS_WITH(f.number({"x"}, 1, 2), "c: x is 0.5, expected a number from 1 to 2");
  CHECK(f.boolean({"b"}, false));
  CHECK(f.boolean({"missing"}, true));
  CHECK_THROWS_WITH(f.boolean({"n"}, true), "c: n is 3, expected true or false");
  CHECK(f.text({"t"}) == "yes");
  CHECK_THROWS_WITH(f.text({"missing"}), "c: missing is absent, expected a text");
  CHECK(f.numbers({"list"}, 0, 9) == std::vector<double>{1, 2.5});
  CHECK_THROWS_WITH(f.numbers({"list"}, 2, 9), "c: list[0] is 1, expected a list of numbers from 2 to 9");
}

TEST_CASE("json: two spellings of one field must agree", "[engine]") {
  CHECK(fields(R"({"n_embd": 8, "hidden_size": 8})").integer({"hidden_size", "n_embd"}, 1, 9) == 8);
  CHECK_THROWS_WITH(fields(R"({"n_embd": 8, "hidden_size": 9})").integer({"hidden_size", "n_embd"}, 1, 9),
                    "c: n_embd is 8, expected 9, as under its other name");
}

TEST_CASE("json: messages name the path of a field", "[engine]") {
  CHECK_THROWS_WITH(fields(R"({"rope": {"factor": -1}})").object({"rope"}).number({"factor"}, 0, 1),
                    "c: rope.factor is -1, expected a number from 0 to 1");
  CHECK_THROWS_WITH(fields(R"({"rope": 1})").object({"rope"}), "c: rope is 1, expected an object");
  CHECK_THROWS_WITH(fields("[]"), "c: content is a list, expected an object");
}
