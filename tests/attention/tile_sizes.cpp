#include <posenc/attention/tile_sizes.hpp>

#include <posenc/encodings/cope.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <vector>

using namespace posenc;

namespace {

struct with_scratch {
  index_t a_query = 0;
  index_t scratch_size(index_t num_queries) const noexcept { return a_query * num_queries; }
};

detail::tile_sizes<with_scratch> draw(random_values& random, const with_scratch& encoding) {
  detail::tile_sizes<with_scratch> sizes;
  sizes.num_queries = random.whole(0, 200);
  sizes.num_keys = random.whole(0, 200);
  sizes.head_dim = random.whole(0, 256);
  sizes.value_dim = random.whole(0, 256);
  sizes.copies_keys = random.coin();
  sizes.copies_values = random.coin();
  sizes.encoding = &encoding;
  return sizes;
}

}  // namespace

TEST_CASE("tile_sizes: blocks fit into what there is, and the smallest fits exactly", "[tile_sizes]") {
  random_values random(1);
  CAPTURE(random.seed());
  for (int i = 0; i < 200; ++i) {
    const with_scratch encoding{random.whole(0, 100)};
    const auto sizes = draw(random, encoding);
    const index_t least = sizes.values_with(1, 1);
    const index_t most = sizes.values_with(detail::max_block, detail::max_block);
    CAPTURE(i, least, most);
    const auto smallest = sizes.fit(least);
    CHECK((smallest.num_queries >= 1 && smallest.num_keys >= 1));
    CHECK(sizes.fit(least - 1).num_queries == 0);
    const auto largest = sizes.fit(most);
    CHECK(largest.num_queries == std::clamp<index_t>(sizes.num_queries, 1, detail::max_block));
    CHECK(largest.num_keys == std::clamp<index_t>(sizes.num_keys, 1, detail::max_block));
    const index_t some = random.whole(least, most);
    const auto block = sizes.fit(some);
    CHECK(sizes.values_with(block.num_queries, block.num_keys) <= some);
    CHECK(block.num_queries <= largest.num_queries);
    CHECK(block.num_keys <= largest.num_keys);
  }
}

TEST_CASE("tile_sizes: without a workspace a worker has a block of the stack, else its share", "[tile_sizes]") {
  using sizes = detail::tile_sizes<no_encoding>;
  const auto loop = [](index_t, task_ref) {};
  std::vector<float> workspace(100);
  CHECK(sizes::values_a_worker(run_options<float>{}) == detail::stack_values);
  CHECK(sizes::values_a_worker(run_options<float>{.workspace = workspace, .threads = parallel_for(loop, 3)}) == 33);
}

TEST_CASE("tile_sizes: keys are copied when they are narrow or an encoding reads them", "[tile_sizes]") {
  const head_view<bf16> narrow_keys(nullptr, 9, 2, 8);
  const head_view<const float> keys(nullptr, 9, 2, 8);
  const no_encoding none;
  const cope<float> gates(std::vector<float>(4 * 8), 8);
  const auto plain = detail::tile_sizes_of<float>(5, 8, keys, narrow_keys, none);
  CHECK_FALSE(plain.copies_keys);
  CHECK(plain.copies_values);
  CHECK(plain.num_keys == 9);
  CHECK(detail::tile_sizes_of<float>(5, 8, narrow_keys, keys, none).copies_keys);
  CHECK(detail::tile_sizes_of<float>(5, 8, keys, keys, gates).copies_keys);
}

TEST_CASE("tile_sizes: a head that no block holds is reported, with what it needs", "[tile_sizes]") {
  detail::tile_sizes<with_scratch> sizes;
  const with_scratch encoding{10000};
  sizes.encoding = &encoding;
  sizes.head_dim = sizes.value_dim = 64;
  CHECK(sizes.check(run_options<float>{}).message() ==
        "attend: run.workspace (none given, so the stack's) is 8192, expected at least 10131 values; workspace_size "
        "tells");
  std::vector<float> workspace(10131);
  CHECK_FALSE(sizes.check(run_options<float>{.workspace = workspace}));
}
