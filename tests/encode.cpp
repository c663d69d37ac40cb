#include <posenc/encode.hpp>

#include "catch.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posenc;

namespace {

/// Adds its position to every column; knows integer and real positions.
struct adds_position {
  template <scalar S, token_positions P>
  void add_to(token_view<S> x, const P& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t d = 0; d < x.dim; ++d)
        x.token(t)[d] = narrow<S>(widen<compute_t<S>>(x.token(t)[d]) + static_cast<compute_t<S>>(p[t]));
    }
  }
  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    if (shape.dim > 4) return problem::invalid("add_to", "dim", shape.dim, "at most #", 4);
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] > 9) return problem::out_of_range("add_to", "positions", p[t], "at most #", 9).at(t);
    }
    return {};
  }
};

/// A person's first rotation: one element type, integer positions, no templates.
struct scales {
  void apply_to_queries(head_view<float> x, const positions& p) const noexcept { scale(x, p, 2); }
  void apply_to_keys(head_view<float> x, const positions& p) const noexcept { scale(x, p, 3); }
  problem check_rotate(const head_shape& shape, const positions&) const noexcept {
    if (shape.head_dim % 2 == 0) return {};
    return problem::invalid("rotate", "head_dim", shape.head_dim, "even");
  }

 private:
  static void scale(head_view<float> x, const positions& p, float factor) noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) {
        for (index_t d = 0; d < x.head_dim; ++d) x.row(t, h)[d] *= factor * static_cast<float>(p[t]);
      }
    }
  }
};

}  // namespace

TEST_CASE("encode: positions may be a range, ids of any kind, or coordinates", "[encode]") {
  std::vector<float> x(6, 1.0F);
  const token_view view(x.data(), 3, 2);
  add_to(adds_position{}, view, positions(1, 3));
  add_to(adds_position{}, view, std::vector<position_t>{0, -5, 9});
  add_to(adds_position{}, view, std::array<double, 3>{0.5, 0.25, 0});
  CHECK(x == std::vector<float>{2.5F, 2.5F, -1.75F, -1.75F, 13, 13});
  std::vector<bf16> narrow_x(2, bf16(1.0F));
  add_to(adds_position{}, token_view(narrow_x.data(), 1, 2), positions(3, 1));
  CHECK(static_cast<float>(narrow_x[1]) == 4);
}

TEST_CASE("encode: queries and keys have a hook each", "[encode]") {
  std::vector<float> x{1, 1, 1, 1};
  const head_view view(x.data(), 2, 1, 2);
  apply_to_queries(scales{}, view, positions(1, 2));
  CHECK(x == std::vector<float>{2, 2, 4, 4});
  apply_to_keys(scales{}, view, positions(1, 2));
  CHECK(x == std::vector<float>{6, 6, 24, 24});
}

TEST_CASE("encode: an encoding that does not act at a place leaves it alone", "[encode]") {
  std::vector<float> x{1, 2};
  add_to(no_encoding{}, token_view(x.data(), 1, 2), positions(7, 1));
  add_to(scales{}, token_view(x.data(), 1, 2), positions(7, 1));
  apply_to_queries(adds_position{}, head_view(x.data(), 1, 1, 2), positions(7, 1));
  apply_to_keys(no_encoding{}, head_view(x.data(), 1, 1, 2), positions(7, 1));
  CHECK(x == std::vector<float>{1, 2});
}

TEST_CASE("encode: what is wrong is found before anything is written", "[encode]") {
  std::vector<float> x(10, 1.0F);
  const token_view wide(x.data(), 2, 5), view(x.data(), 2, 4, 5);
  CHECK_THROWS_WITH(add_to(adds_position{}, wide, positions(0, 2)), "add_to: dim is 5, expected at most 4");
  CHECK_THROWS_WITH(add_to(adds_position{}, view, positions(9, 2)), "add_to: positions[1] is 10, expected at most 9");
  CHECK_THROWS_AS(add_to(adds_position{}, view, positions(9, 2)), std::out_of_range);
  CHECK_THROWS_WITH(add_to(adds_position{}, view, positions(0, 3)),
                    "add_to: number of positions is 3, expected 2, one for each token");
  CHECK_THROWS_WITH(add_to(adds_position{}, view, std::vector<double>(3)),
                    "add_to: number of positions is 3, expected 2, one for each token");
  CHECK_THROWS_WITH(add_to(adds_position{}, view, positions(std::vector<position_t>(4), 2)),
                    "add_to: number of axes of the positions is 2, expected 1");
  const head_view odd(x.data(), 2, 1, 5);
  CHECK_THROWS_WITH(apply_to_queries(scales{}, odd, positions(0, 2)), "rotate: head_dim is 5, expected even");
  CHECK_THROWS_WITH(apply_to_keys(scales{}, odd, positions(0, 2)), "rotate: head_dim is 5, expected even");
  CHECK_THROWS_WITH(apply_to_keys(scales{}, odd, positions(0, 1)),
                    "rotate: number of positions is 1, expected 2, one for each token");
  CHECK(x == std::vector<float>(10, 1.0F));
}

TEST_CASE("encode: a check is a value, also for memory that may only be read", "[encode]") {
  const std::vector<float> x(10);
  const token_view embeddings(x.data(), 2, 5);
  const head_view queries(x.data(), 2, 1, 5);
  static_assert(noexcept(check_add(adds_position{}, embeddings, positions(0, 2))));
  static_assert(noexcept(check_rotate(scales{}, queries, positions(0, 2))));
  CHECK(check_add(adds_position{}, embeddings, positions(0, 2)).message() == "add_to: dim is 5, expected at most 4");
  CHECK(check_rotate(scales{}, queries, positions(0, 2)).message() == "rotate: head_dim is 5, expected even");
}

TEST_CASE("encode: unchecked calls promise not to throw, and do the same", "[encode]") {
  std::vector<float> x{1, 1};
  const token_view embeddings(x.data(), 1, 2);
  const head_view queries(x.data(), 1, 1, 2);
  static_assert(noexcept(add_to(unchecked, adds_position{}, embeddings, positions(3, 1))));
  static_assert(noexcept(apply_to_queries(unchecked, scales{}, queries, positions(3, 1))));
  static_assert(noexcept(apply_to_keys(unchecked, scales{}, queries, positions(3, 1))));
  add_to(unchecked, adds_position{}, embeddings, positions(2, 1));
  apply_to_queries(unchecked, scales{}, queries, positions(2, 1));
  apply_to_keys(unchecked, scales{}, queries, positions(1, 1));
  CHECK(x == std::vector<float>{36, 36});
}

TEST_CASE("encode: no tokens are nothing to do", "[encode]") {
  add_to(adds_position{}, token_view<float>(nullptr, 0, 4), positions(0, 0));
  add_to(adds_position{}, token_view<float>(nullptr, 0, 4), std::vector<position_t>{});
  apply_to_queries(scales{}, head_view<float>(nullptr, 0, 2, 4), positions(0, 0));
  CHECK_THROWS_AS(add_to(adds_position{}, token_view<float>(nullptr, 0, 4), positions(0, 1)), std::invalid_argument);
}
