// What attend refuses, with which messages, and that nothing is written then.
#include <posenc/attention/attend.hpp>

#include <posenc/encodings/alibi.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t num_queries = 3, num_keys = 5;

struct call {
  std::vector<float> memory = std::vector<float>(1000, 1.0F);
  head_view<float> q{memory.data(), num_queries, 4, 8};
  head_view<float> k{memory.data(), num_keys, 2, 8};
  head_view<float> v{memory.data(), num_keys, 2, 6};
  owned_heads<float> out_memory{num_queries, 4, 6, 99.0F};
  std::vector<float> lse_memory = std::vector<float>(12, 99.0F);
  head_view<float> out = out_memory.view();
  attend_options<float> options{.lse = {lse_memory.data(), num_queries, 4}};

  template <class E = no_encoding>
  void is_refused(const std::string& message, const E& encoding = {}) {
    CHECK(check_attend(q, k, v, out, encoding, options).message() == message);
    CHECK_THROWS_WITH(attend(q, k, v, out, encoding, options), message);
    CHECK(out_memory.values == std::vector<float>(72, 99.0F));
    CHECK(lse_memory == std::vector<float>(12, 99.0F));
  }
};

}  // namespace

TEST_CASE("attend: what fits is computed", "[attend]") {
  call x;
  CHECK_FALSE(check_attend(x.q, x.k, x.v, x.out, no_encoding{}, x.options));
  static_assert(noexcept(check_attend(x.q, x.k, x.v, x.out, no_encoding{}, x.options)));
  static_assert(noexcept(attend(unchecked, x.q, x.k, x.v, x.out, no_encoding{}, x.options)));
  attend(unchecked, x.q, x.k, x.v, x.out, no_encoding{}, x.options);
  CHECK(x.out_memory.values == std::vector<float>(72, 1.0F));
}

TEST_CASE("attend: shapes that do not fit are refused", "[attend]") {
  call x;
  SECTION("heads of the keys") {
    x.k.num_heads = 3;
    x.is_refused("attend: num_heads of keys is 3, expected a divisor of 4, the heads of the queries");
    x.k.num_heads = 0;
    x.is_refused("attend: num_heads of keys is 0, expected a divisor of 4, the heads of the queries");
    x.k.num_heads = 8;
    x.is_refused("attend: num_heads of keys is 8, expected a divisor of 4, the heads of the queries");
  }
  SECTION("heads of the values") {
    x.v.num_heads = 4;
    x.is_refused("attend: num_heads of values is 4, expected 2, that of the keys");
  }
  SECTION("columns of the keys") {
    x.k.head_dim = 7;
    x.is_refused("attend: head_dim of keys is 7, expected 8, that of the queries");
  }
  SECTION("tokens of the values") {
    x.v.num_tokens = 4;
    x.is_refused("attend: num_tokens of values is 4, expected 5, that of the keys");
  }
  SECTION("the output") {
    x.out.num_tokens = 2;
    x.is_refused("attend: num_tokens of out is 2, expected 3, that of the queries");
    x.out = x.out_memory.view().heads(0, 2);
    x.is_refused("attend: num_heads of out is 2, expected 4, that of the queries");
    x.out = x.out_memory.view();
    x.out.head_dim = 5;
    x.is_refused("attend: head_dim of out is 5, expected 6, that of the values");
  }
  SECTION("sizes below zero, that of all alike too") {
    x.q.num_tokens = x.out.num_tokens = x.options.lse.num_tokens = -1;
    x.is_refused("attend: num_tokens of queries is -1, expected at least 0");
    x = {};
    x.q.num_heads = x.out.num_heads = x.k.num_heads = x.v.num_heads = x.options.lse.num_heads = -2;
    x.is_refused("attend: num_heads of queries is -2, expected at least 0");
    x = {};
    x.q.head_dim = x.k.head_dim = x.v.head_dim = x.out.head_dim = -100;
    x.is_refused("attend: head_dim of queries is -100, expected at least 0");
    x = {};
    x.k.num_tokens = x.v.num_tokens = -5;
    x.is_refused("attend: num_tokens of keys is -5, expected at least 0");
    x = {};
    x.q.num_heads = x.out.num_heads = x.options.lse.num_heads = 0;
    x.k.num_heads = x.v.num_heads = -1;
    x.is_refused("attend: num_heads of keys is -1, expected at least 0");
    x = {};
    x.v.head_dim = x.out.head_dim = -6;
    x.is_refused("attend: head_dim of values is -6, expected at least 0");
  }
  SECTION("the log-sum-exp") {
    x.options.lse.num_tokens = 4;
    x.is_refused("attend: num_tokens of lse is 4, expected 3, that of the queries");
    x.options.lse = {x.lse_memory.data(), 3, 2};
    x.is_refused("attend: num_heads of lse is 2, expected 4, that of the queries");
  }
}

TEST_CASE("attend: options that make no sense are refused", "[attend]") {
  call x;
  SECTION("softcap, as the compute type has it") {
    const std::string rule = ", expected 0 or a positive normal number of the compute type";
    x.options.softcap = -0.5;
    x.is_refused("attend: softcap is -0.5" + rule);
    x.options.softcap = std::numeric_limits<double>::quiet_NaN();
    x.is_refused("attend: softcap is nan" + rule);
    x.options.softcap = std::numeric_limits<double>::infinity();
    x.is_refused("attend: softcap is inf" + rule);
    x.options.softcap = 1e39;
    x.is_refused("attend: softcap is 1e+39" + rule);
    x.options.softcap = 1e-50;
    x.is_refused("attend: softcap is 1e-50" + rule);
    x.options.softcap = 1e-40;
    x.is_refused("attend: softcap is 1e-40" + rule);
  }
  SECTION("scale, as the compute type has it") {
    const std::string rule = ", expected finite in the compute type";
    x.options.scale = std::numeric_limits<double>::quiet_NaN();
    x.is_refused("attend: scale is nan" + rule);
    x.options.scale = -std::numeric_limits<double>::infinity();
    x.is_refused("attend: scale is -inf" + rule);
    x.options.scale = 1e39;
    x.is_refused("attend: scale is 1e+39" + rule);
  }
  SECTION("sinks") {
    const std::vector<float> sinks(3);
    x.options.sinks = sinks;
    x.is_refused("attend: number of sinks is 3, expected 4, one for each head");
  }
  SECTION("key ranges") {
    const std::vector<key_range> ranges(2);
    x.options.more.key_ranges = ranges;
    x.is_refused("attend: number of key_ranges is 2, expected 3, one for each query");
  }
  SECTION("the first head") {
    x.options.more.first_head = -1;
    x.is_refused("attend: first_head is -1, expected at least 0");
    x.options.more.first_head = 2;
    x.is_refused("attend: first_head + num_heads is 6, expected at most 4, the heads of the encoding", alibi<float>(4));
    x.options.more.first_head = 0;
    x.is_refused("attend: num_heads is 4, expected at most 2, the heads of the encoding", alibi<float>(2));
  }
}

TEST_CASE("attend: positions that do not fit are refused", "[attend]") {
  call x;
  constexpr std::int64_t largest = std::numeric_limits<position_t>::max();
  SECTION("their number") {
    x.options.positions.queries = positions(0, 2);
    x.is_refused("attend: queries: number of positions is 2, expected 3, one for each token");
    x.options.positions = {.keys = positions(0, 3)};
    x.is_refused("attend: keys: number of positions is 3, expected 5, one for each token");
  }
  SECTION("axes, for an encoding that acts on scores") {
    const std::vector<position_t> ids(6);
    x.options.positions.queries = positions(ids, 2);
    x.is_refused("attend: queries: number of axes of the positions is 2, expected 1", alibi<float>(4));
    CHECK_FALSE(check_attend(x.q, x.k, x.v, x.out, no_encoding{}, x.options));  // to whom positions mean nothing
  }
  SECTION("beyond 32 bits") {
    x.options.positions.queries = positions(largest, 3);
    x.is_refused("attend: queries: last position is 2147483649, expected below 2^31", alibi<float>(4));
    x.options.positions = {};
    x.options.query_offset = -largest - 2;
    x.is_refused("attend: queries: first position is -2147483649, expected at least -2^31", alibi<float>(4));
  }
  SECTION("distances beyond 32 bits") {
    x.options.positions.queries = positions(-3, 3);
    x.options.positions.keys = positions(largest - 4, 5);
    x.is_refused("attend: distance from query to key is -2147483650, expected less than 2^31 in size", alibi<float>(4));
    CHECK_THROWS_AS(attend(x.q, x.k, x.v, x.out, alibi<float>(4), x.options), std::out_of_range);
    CHECK_FALSE(check_attend(x.q, x.k, x.v, x.out, no_encoding{}, x.options));
    const std::vector<position_t> ids{0, 0, std::numeric_limits<position_t>::min()};
    x.options.positions = {.queries = ids};
    x.is_refused("attend: distance from query to key is -2147483652, expected less than 2^31 in size", alibi<float>(4));
  }
}

TEST_CASE("attend: the largest distances of 32 bits are computed", "[attend]") {
  call x;
  constexpr std::int64_t largest = std::numeric_limits<position_t>::max();
  x.options.positions.queries = positions(largest - 2, 3);
  x.options.positions.keys = positions(0, 5);
  attend(x.q, x.k, x.v, x.out, alibi<float>(4), x.options);
  CHECK(x.out_memory.values[71] == 1);
  x.options.positions = {.queries = positions(-3, 3), .keys = positions(largest - 3 - 4, 5)};
  attend(x.q, x.k, x.v, x.out, alibi<float>(4), x.options);
  CHECK(x.out_memory.values[0] == 1);
}

TEST_CASE("attend: memory that does not suffice is refused", "[attend]") {
  call x;
  const no_encoding none;
  const auto least_for = [&] {  // one query and one key; how much that is depends on the length of vectors
    const auto sizes = detail::tile_sizes_of<float>(x.q.num_tokens, x.q.head_dim, x.k, x.v, none);
    return sizes.values_with(sizes.least());
  };
  const auto least = static_cast<std::size_t>(least_for());
  const std::string rule = ", expected at least " + std::to_string(least) + " values; workspace_size tells";
  const std::string given = "attend: run.workspace (for each worker) is " + std::to_string(least - 1);
  std::vector<float> workspace(2 * least);
  x.options.run.workspace = std::span(workspace).first(least - 1);
  x.is_refused(given + rule);
  x.options.run.workspace = std::span(workspace).first(least);
  CHECK_FALSE(check_attend(x.q, x.k, x.v, x.out, none, x.options));
  const auto loop = [](index_t, task_ref) {};
  x.options.run = {.workspace = std::span(workspace).first(2 * least - 1), .threads = parallel_for(loop, 2)};
  x.is_refused(given + rule);
  x.options.run.threads = parallel_for(loop, 0);
  x.is_refused("attend: run.threads.num_workers() is 0, expected at least 1");
  std::vector<float> wide(8192 * 4);
  x.options.run = {};
  x.q = {wide.data(), 3, 1, 8192};
  x.k = {wide.data(), 3, 1, 8192};
  x.v = {wide.data(), 3, 1, 6};
  x.out = x.out.heads(0, 1);
  x.options.lse = {};
  x.is_refused("attend: run.workspace (none given, so the stack's) is 16384, expected at least " +
               std::to_string(least_for()) + " values; workspace_size tells");
}

TEST_CASE("attend: the least and the largest soft-cap and scale of the compute type are computed", "[attend]") {
  call x;
  using limits = std::numeric_limits<float>;
  for (const float softcap : {0.0F, limits::min(), 1.0F, limits::max()}) {
    for (const float scale : {0.0F, limits::denorm_min(), -1.0F, 1e37F}) {  // by 8 columns of ones
      CAPTURE(softcap, scale);
      std::fill(x.out_memory.values.begin(), x.out_memory.values.end(), 99.0F);
      x.options.softcap = static_cast<double>(softcap);
      x.options.scale = static_cast<double>(scale);
      attend(x.q, x.k, x.v, x.out, no_encoding{}, x.options);
      CHECK(x.out_memory.values == std::vector<float>(72, 1.0F));
    }
  }
  owned_heads<double> wide(3, 1, 8, 1.0), out(3, 1, 8);
  const auto view = wide.view();
  for (const double softcap : {1e39, 1e-50}) {
    attend(view, view, view, out.view(), no_encoding{}, {.scale = 1e39, .softcap = softcap});
    CHECK(out.values == wide.values);
  }
}
