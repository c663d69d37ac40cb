#include <posenc/error.hpp>

#include "catch.hpp"

#include <cstddef>
#include <limits>
#include <stdexcept>

using namespace posenc;

TEST_CASE("error: a problem is nothing until a check finds something", "[error]") {
  const problem nothing;
  CHECK_FALSE(nothing);
  CHECK(nothing.what() == problem::kind::none);
  CHECK(nothing.message().empty());
  CHECK_NOTHROW(raise_if(nothing));
  const problem wrong = problem::invalid("attend", "softcap", -1.5, "at least 0");
  CHECK(wrong);
  CHECK(wrong.what() == problem::kind::invalid_argument);
}

TEST_CASE("error: a message names operation, argument, value and rule", "[error]") {
  CHECK(problem::invalid("alibi", "num_heads", 0, "at least 1").message() ==
        "alibi: num_heads is 0, expected at least 1");
  CHECK(problem::out_of_range("add_to", "positions", 512, "at most #", 511).message() ==
        "add_to: positions is 512, expected at most 511");
}

TEST_CASE("error: every # of a rule stands for the limit, and a rule without one has none", "[error]") {
  CHECK(problem::invalid("f", "x", 7, "# or twice #", 4).message() == "f: x is 7, expected 4 or twice 4");
  CHECK(problem::invalid("f", "x", 7, "even", 4).message() == "f: x is 7, expected even");
}

TEST_CASE("error: a finding can be located, given to an owner, and reported by another operation", "[error]") {
  const problem wrong = problem::out_of_range("add_to", "positions", 512, "at most #", 511);
  CHECK(wrong.at(3).message() == "add_to: positions[3] is 512, expected at most 511");
  CHECK(wrong.at(0).message() == "add_to: positions[0] is 512, expected at most 511");
  CHECK(wrong.of("keys").message() == "add_to: keys: positions is 512, expected at most 511");
  CHECK(wrong.in("attend").of("keys").at(1).message() == "attend: keys: positions[1] is 512, expected at most 511");
  CHECK(wrong.in("attend").what() == problem::kind::out_of_range);
  CHECK(std::string(wrong.in("attend").operation()) == "attend");
  CHECK(std::string(wrong.argument()) == "positions");
  CHECK(wrong.message() == "add_to: positions is 512, expected at most 511");  // the former is unchanged
}

TEST_CASE("error: values print as they are, whatever their type", "[error]") {
  const auto printed = [](auto value) { return problem::invalid("f", "x", value, "y").message(); };
  CHECK(printed(std::numeric_limits<std::int64_t>::min()) == "f: x is -9223372036854775808, expected y");
  CHECK(printed(std::size_t{12}) == "f: x is 12, expected y");
  CHECK(printed(0.5F) == "f: x is 0.5, expected y");
  CHECK(printed(1e300) == "f: x is 1e+300, expected y");
  CHECK(printed(-std::numeric_limits<double>::infinity()) == "f: x is -inf, expected y");
  CHECK(printed(std::numeric_limits<float>::quiet_NaN()) == "f: x is nan, expected y");
}

TEST_CASE("error: the kind of a problem decides what is thrown", "[error]") {
  CHECK_THROWS_AS(raise(problem::invalid("f", "x", 1, "y")), std::invalid_argument);
  CHECK_THROWS_AS(raise(problem::out_of_range("f", "x", 1, "y")), std::out_of_range);
  CHECK_THROWS_WITH(raise_if(problem::out_of_range("f", "x", 1, "y")), "f: x is 1, expected y");
}

TEST_CASE("error: require raises only when its condition fails", "[error]") {
  CHECK_NOTHROW(require(true, "f", "x", 1, "y"));
  CHECK_THROWS_AS(require(false, "f", "x", 1, "y"), std::invalid_argument);
  CHECK_THROWS_WITH(require(false, "f", "x", 3, "a multiple of #", 2), "f: x is 3, expected a multiple of 2");
}

TEST_CASE("error: setting the handler gives back the former one", "[error]") {
  const error_handler mine = [](const char*) {};
  const error_handler former = set_error_handler(mine);
  CHECK(former != nullptr);
  CHECK(set_error_handler(former) == mine);
}

static_assert(!problem());
static_assert(problem::invalid("f", "x", 1, "y"));
