#include <posenc/attention/tile_sizes.hpp>

#include <posenc/encodings/alibi.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

using namespace posenc;

namespace {

struct with_scratch {
  index_t a_query = 0;
  index_t scratch_size(index_t num_queries) const noexcept { return a_query * num_queries; }
};

using sizes_t = detail::tile_sizes<float, with_scratch>;

sizes_t draw(random_values& random, const with_scratch& encoding) {
  sizes_t sizes;
  sizes.num_queries = random.whole(0, 200);
  sizes.num_keys = random.whole(0, 200);
  sizes.head_dim = random.whole(0, 256);
  sizes.value_dim = random.whole(0, 256);
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
    const index_t least = sizes.values_with(sizes.least());
    const index_t most = sizes.values_with(sizes.largest());
    CAPTURE(i, least, most);
    const auto smallest = sizes.fit(least);
    CHECK((smallest.num_queries >= 1 && smallest.num_keys >= 1));
    CHECK(sizes.fit(least - 1).num_queries == 0);
    const auto largest = sizes.fit(most);
    CHECK(largest.num_queries == std::clamp<index_t>(sizes.num_queries, 1, detail::max_block));
    CHECK(largest.num_keys == std::clamp<index_t>(sizes.num_keys, 1, detail::max_block));
    CHECK(largest.blocks_at_once == sizes.largest().blocks_at_once);
    const index_t some = random.whole(least, most);
    const auto block = sizes.fit(some);
    CHECK(sizes.values_with(block) <= some);
    CHECK(block.num_queries <= largest.num_queries);
    CHECK(block.num_keys <= largest.num_keys);
  }
}

TEST_CASE("tile_sizes: what is cut out of a worker's memory lies apart, on lines' boundaries, and ends where it should",
          "[tile_sizes]") {
  random_values random(2);
  CAPTURE(random.seed());
  constexpr index_t line = kernels::line_bytes / static_cast<index_t>(sizeof(float));
  for (int i = 0; i < 50; ++i) {
    const with_scratch encoding{random.whole(0, 20)};
    const auto sizes = draw(random, encoding);
    const auto block = sizes.largest();
    std::vector<float> memory(static_cast<std::size_t>(sizes.values_with(block)));
    const auto m = sizes.cut(memory.data(), block);
    const float* places[] = {m.blocks[0].queries,
                             m.blocks[0].output,
                             m.blocks[0].largest,
                             m.blocks[0].sum,
                             m.blocks[0].factor,
                             m.blocks[0].scratch,
                             m.scores[0],
                             m.weight_pairs[0],
                             m.scores[1],
                             m.weight_pairs[1],
                             m.keys,
                             m.values,
                             m.some_rows,
                             m.bias_by_distance};
    CHECK(std::is_sorted(std::begin(places), std::end(places)));
    for (const float* place : places) CHECK((place - memory.data()) % line == 0);
    CHECK(m.bias_by_distance - memory.data() + line == std::ssize(memory));  // no table, and a line to align with
  }
}

TEST_CASE("tile_sizes: without a workspace a worker has a block of the stack, else its share", "[tile_sizes]") {
  using sizes = detail::tile_sizes<float, no_encoding>;
  const auto loop = [](index_t, task_ref) {};
  std::vector<float> workspace(100);
  CHECK(sizes::values_a_worker(run_options<float>{}) == detail::stack_values<float>);
  CHECK(sizes::values_a_worker(run_options<float>{.workspace = workspace, .threads = parallel_for(loop, 3)}) == 33);
}

TEST_CASE("tile_sizes: a bias of distance has a table, where there is room for it", "[tile_sizes]") {
  const alibi<float> slopes(1);
  detail::tile_sizes<float, alibi<float>> sizes;
  sizes.num_queries = 100;
  sizes.num_keys = 100'000;
  sizes.head_dim = sizes.value_dim = 64;
  sizes.encoding = &slopes;
  const index_t most = sizes.values_with(sizes.largest());
  CHECK(sizes.fit(most).tabulates);
  CHECK(sizes.table_size() >= 100'100);
  const auto without = sizes.fit(sizes.table_size());
  CHECK(without.num_queries > 0);
  CHECK_FALSE(without.tabulates);
  detail::tile_sizes<float, no_encoding> plain;
  CHECK(plain.table_size() == 0);
}

TEST_CASE("tile_sizes: a head that no block holds is reported, with what it needs", "[tile_sizes]") {
  const with_scratch encoding{100'000};
  sizes_t sizes;
  sizes.encoding = &encoding;
  sizes.head_dim = sizes.value_dim = 64;
  const index_t least = sizes.values_with(sizes.least());
  CHECK(least > 100'000);
  CHECK(sizes.check(run_options<float>{}).message() ==
        "attend: run.workspace (none given, so the stack's) is 16384, expected at least " + std::to_string(least) +
            " values; workspace_size tells");
  std::vector<float> workspace(static_cast<std::size_t>(least));
  CHECK_FALSE(sizes.check(run_options<float>{.workspace = workspace}));
}
