#include <posenc/attention/key_source.hpp>

#include "../catch.hpp"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <vector>

using namespace posenc;

static_assert(key_source<head_view<float>> && key_source<head_view<const bf16>> && key_source<paged_view<const f16>>);
static_assert(!key_source<token_view<float>> && !key_source<std::vector<float>>);
static_assert(std::is_same_v<key_element_t<head_view<const bf16>>, bf16> &&
              std::is_same_v<key_element_t<paged_view<f16>>, f16>);
static_assert(std::is_trivially_copyable_v<paged_view<float>>);

namespace {

/// Two halves of a ring, as an engine would write it.
struct ring {
  head_view<const float> first, second;
  index_t num_tokens, num_heads, head_dim;
  head_view<const float> block(index_t token, index_t count) const noexcept {
    if (token >= first.num_tokens) return second.tokens(token - first.num_tokens, count);
    return first.tokens(token, std::min(count, first.num_tokens - token));
  }
};
static_assert(key_source<ring>);

std::vector<float> counted(std::size_t size) {
  std::vector<float> memory(size);
  std::iota(memory.begin(), memory.end(), 0.0F);
  return memory;
}

}  // namespace

TEST_CASE("key_source: a page gives what is left of it, or what is asked for", "[key_source]") {
  const auto memory = counted(4 * 3 * 2 * 5);  // 4 pages of 3 tokens, 2 heads, 5 columns
  const std::vector<position_t> table{2, 0, 3};
  const paged_view<const float> pages(memory.data(), table, 3, 8, 2, 5);
  for (index_t token = 0; token < 8; ++token) {
    for (index_t count = 1; token + count <= 8; ++count) {
      const auto piece = pages.block(token, count);
      CAPTURE(token, count);
      CHECK(piece.num_tokens == std::min(count, 3 - token % 3));
      CHECK(piece.row(0, 1) == memory.data() + (table[static_cast<std::size_t>(token / 3)] * 3 + token % 3) * 10 + 5);
    }
  }
}

TEST_CASE("key_source: pages may have any layout, head by head too", "[key_source]") {
  const auto memory = counted(3 * 100);
  const std::vector<position_t> table{1, 2};
  const paged_view<const float> pages(memory.data(), table, 4, 7, 2, 3, 100, 3,
                                      12);  // [page, head, token, column] and a gap
  CHECK(*pages.block(5, 2).row(1, 1) == 200 + 12 + 2 * 3);
}

TEST_CASE("key_source: pages that do not hold the tokens are refused", "[key_source]") {
  float memory[1];
  const std::vector<position_t> table(2);
  CHECK_THROWS_WITH(paged_view<float>(memory, table, 0, 0, 1, 1), "paged_view: page_size is 0, expected at least 1");
  CHECK_THROWS_WITH(paged_view<float>(memory, table, 4, 9, 1, 1),
                    "paged_view: num_tokens is 9, expected at most 8, what the pages of the block table hold");
  CHECK(paged_view<float>(memory, table, 4, 8, 1, 1).page_stride == 4);
  CHECK(paged_view<float>(memory, {}, 4, 0, 1, 1).num_tokens == 0);
}

TEST_CASE("key_source: an engine's own source needs sizes and a block", "[key_source]") {
  const auto memory = counted(12);
  const head_view<const float> all(memory.data(), 6, 1, 2);
  const ring keys{all.tokens(4, 2), all.tokens(0, 4), 6, 1, 2};
  CHECK(keys.block(1, 5).num_tokens == 1);
  CHECK(*keys.block(2, 3).row(1, 0) == 2);
}
