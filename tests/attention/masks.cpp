#include <posenc/attention/masks.hpp>

#include "../catch.hpp"
#include "../owned_tile.hpp"
#include "../random_values.hpp"
#include "random_attention.hpp"

#include <limits>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t far = index_band::unbounded;

/// The definition, pair by pair.
bool allowed(const random_attention& call, index_t offset, index_t head, index_t q, index_t k) {
  const index_t difference = offset + q - k;
  if (difference < call.band.first || (call.band.end != far && difference >= call.band.end)) return false;
  if (!call.key_ranges.empty()) {
    const key_range& range = call.key_ranges[static_cast<std::size_t>(q)];
    if (k < range.first || k >= range.end) return false;
  }
  if (call.mask.data == nullptr) return true;
  return k < call.mask.num_keys && call.mask.data[head * call.mask.head_stride + q * call.mask.query_stride + k];
}

index_t count(const index_band& band, index_t query, index_t num_keys) {
  const key_range keys = detail::key_filter(band, {}, query, num_keys).keys_of(0);
  return keys.end - keys.first;
}

}  // namespace

TEST_CASE("masks: bands allow what their names say", "[masks]") {
  const auto keys = [](const index_band& band) {
    const key_range range = detail::key_filter(band, {}, 5, 10).keys_of(0);
    return std::vector<index_t>{range.first, range.end};
  };
  CHECK(keys({}) == std::vector<index_t>{0, 10});
  CHECK(keys(causal()) == std::vector<index_t>{0, 6});
  CHECK(keys(sliding_window(2)) == std::vector<index_t>{4, 6});
  CHECK(keys(symmetric_window(2)) == std::vector<index_t>{4, 7});
  CHECK(keys(beyond_window(2)) == std::vector<index_t>{0, 4});
  CHECK(keys(sliding_window(0)) == std::vector<index_t>{0, 0});
  CHECK(keys({-2, 0}) == std::vector<index_t>{6, 8});  // keys to come
}

TEST_CASE("masks: bands as wide as integers go hide nothing", "[masks]") {
  for (const index_t width : {far, far - 1, far / 2}) {
    CAPTURE(width);
    CHECK(count(sliding_window(width), 3, 10) == 4);
    CHECK(count(symmetric_window(width), 3, 10) == 10);
    CHECK(count(symmetric_window(width), -3, 10) == 10);
    CHECK(count(beyond_window(width), 3, 10) == 0);
    CHECK(count(beyond_window(-width), 3, 10) == 10);
    CHECK(count({-width, width}, -100, 10) == 10);
  }
}

TEST_CASE("masks: every restriction is laid over the tile, pair by pair", "[masks]") {
  random_values random(1);
  CAPTURE(random.seed());
  for (int i = 0; i < 100; ++i) {
    const random_attention call(random, 40);
    CAPTURE(i, call.sizes());
    const index_t offset = call.query_offset.value_or(call.num_keys - call.num_queries);
    const index_t head = random.whole(0, call.num_heads - 1);
    const detail::key_filter filter(call.band, call.options<float>().more, offset, call.num_keys);
    if (call.num_queries == 0 || call.num_keys == 0) continue;
    const index_t first_query = random.whole(0, call.num_queries - 1);
    const index_t num_queries = random.whole(1, call.num_queries - first_query);
    const auto possible = filter.keys_of(first_query, num_queries);
    // As attend does it: a tile lies in the range that the filter gives for its block of queries.
    if (possible.first == possible.end) continue;
    const index_t first_key = random.whole(possible.first, possible.end - 1);
    const index_t num_keys = random.whole(1, possible.end - first_key);
    owned_tile<float> x(random.coin() ? contiguous::queries : contiguous::keys, num_queries, num_keys);
    x.tile.first_query = first_query;
    x.tile.first_key = first_key;
    filter.apply(x.tile, head);
    bool right = true, all = true, any = false;
    for (index_t q = 0; q < num_queries; ++q) {
      for (index_t k = 0; k < num_keys; ++k) {
        const bool open = allowed(call, offset, head, first_query + q, first_key + k);
        right = right && x.tile.score(q, k) == (open ? 0.0F : -std::numeric_limits<float>::infinity());
        all = all && open;
        any = any || open;
      }
    }
    CHECK(right);
    if (filter.allows_all(first_query, num_queries, first_key, num_keys)) CHECK(all);
    if (!filter.touches(first_query, num_queries, first_key, num_keys)) CHECK_FALSE(any);
  }
}

TEST_CASE("masks: the range of a query holds all of its keys, and of a block those of its queries", "[masks]") {
  random_values random(2);
  CAPTURE(random.seed());
  for (int i = 0; i < 100; ++i) {
    const random_attention call(random, 40);
    CAPTURE(i, call.sizes());
    const index_t offset = call.query_offset.value_or(call.num_keys - call.num_queries);
    const detail::key_filter filter(call.band, call.options<float>().more, offset, call.num_keys);
    const key_range all = filter.keys_of(0, call.num_queries);
    CHECK((all.first >= 0 && all.end <= call.num_keys));
    bool right = true;
    for (index_t q = 0; q < call.num_queries; ++q) {
      const key_range keys = filter.keys_of(q);
      right = right && (keys.first == keys.end || (all.first <= keys.first && keys.end <= all.end));
      for (index_t k = 0; k < call.num_keys; ++k) {
        if (allowed(call, offset, 0, q, k)) right = right && keys.first <= k && k < keys.end;
      }
    }
    CHECK(right);
  }
}

TEST_CASE("masks: a whole tile is allowed only without a mask of booleans", "[masks]") {
  const bool yes[4] = {true, true, true, true};
  attend_masks masks;
  CHECK(detail::key_filter(causal(), masks, 10, 4).allows_all(0, 3, 0, 4));
  CHECK_FALSE(detail::key_filter(causal(), masks, 2, 4).allows_all(0, 3, 0, 4));
  masks.allowed = {yes, 4, 0, 0};
  CHECK_FALSE(detail::key_filter(causal(), masks, 10, 4).allows_all(0, 3, 0, 4));
}
