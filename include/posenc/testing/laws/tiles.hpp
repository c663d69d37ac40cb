// Score tiles in every layout that a kernel may use, and the laws that all layouts agree.
#pragma once

#include <posenc/testing/laws/row_block.hpp>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// One head's queries and keys, and their positions.
template <real T>
struct tile_input {
  std::vector<T> queries;  // scaled: [num_queries, head_dim]
  std::vector<T> keys;     // [num_keys, head_dim]
  std::vector<position_t> query_positions;
  std::vector<position_t> key_positions;
  bool consecutive = false;
  index_t head = 0;
  index_t head_dim = 0;
  T scale = 1;
  std::vector<T> scores;  // before the encoding: [num_queries, num_keys], minus infinity where masked

  tile_input() = default;
  template <real From>
  explicit tile_input(const tile_input<From>& other)
      : queries(converted<T>(other.queries)),
        keys(converted<T>(other.keys)),
        query_positions(other.query_positions),
        key_positions(other.key_positions),
        consecutive(other.consecutive),
        head(other.head),
        head_dim(other.head_dim),
        scale(static_cast<T>(other.scale)),
        scores(converted<T>(other.scores)) {}

  index_t num_queries() const { return std::ssize(query_positions); }
  index_t num_keys() const { return std::ssize(key_positions); }
  std::string place_of(index_t i) const {
    const index_t q = i / num_keys();
    const index_t k = i % num_keys();
    return "head " + std::to_string(head) + ", query " + std::to_string(q) + " (position " +
           std::to_string(at(query_positions, q)) + "), key " + std::to_string(k) + " (position " +
           std::to_string(at(key_positions, k)) + ")";
  }
};

/// A tile of one head: one query and one key per id, scores before the encoding, all pairs allowed.
template <real T>
tile_input<T> tile_of(const law_sizes& sizes, index_t head, std::vector<position_t> query_positions,
                      std::vector<position_t> key_positions, random_numbers random) {
  tile_input<T> input;
  input.head = head;
  input.head_dim = sizes.head_dim;
  input.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(sizes.head_dim)));
  input.query_positions = std::move(query_positions);
  input.key_positions = std::move(key_positions);
  input.queries = random_values<T>(input.num_queries() * sizes.head_dim, random);
  input.keys = random_values<T>(input.num_keys() * sizes.head_dim, random);
  for (T& value : input.queries) value *= input.scale;
  for (index_t i = 0; i < input.num_queries() * input.num_keys(); ++i) {
    T score = 0;
    for (index_t d = 0; d < sizes.head_dim; ++d)
      score += at(input.queries, i / input.num_keys() * sizes.head_dim + d) *
               at(input.keys, i % input.num_keys() * sizes.head_dim + d);
    input.scores.push_back(score);
  }
  return input;
}

/// How a kernel lays out and splits a tile.
struct tile_form {
  bool key_major = false;   // the queries of a key are contiguous
  index_t gap = 0;          // elements after each row that do not belong to the tile
  index_t num_queries = 0;  // of a piece; 0: all
  index_t num_keys = 0;
  bool tell_consecutive = true;
};

/// Memory of one piece of a tile, filled so that writes outside of it show.
template <real T>
struct piece_of_tile {
  std::vector<T> scores;
  std::vector<T> queries;
  std::vector<T> scratch;
  score_tile<T> tile;

  piece_of_tile(const tile_input<T>& input, const tile_form& form, index_t first_query, index_t num_queries,
                index_t block_keys, index_t scratch_size)
      : scratch(static_cast<std::size_t>(scratch_size), T(77)) {  // not zeros: `begin` must clear what it needs
    const index_t row = (form.key_major ? num_queries : block_keys) + form.gap;
    scores.assign(static_cast<std::size_t>(row * (form.key_major ? block_keys : num_queries)), T(-55));
    tile.scores = scores.data();
    tile.query_stride = form.key_major ? 1 : row;
    tile.key_stride = form.key_major ? row : 1;
    tile.num_queries = num_queries;
    tile.head = input.head;
    tile.first_query = first_query;
    tile.query_positions = input.query_positions.data() + first_query;
    tile.consecutive = input.consecutive && form.tell_consecutive;
    tile.query_token_stride = form.key_major ? 1 : input.head_dim;
    tile.query_dim_stride = form.key_major ? num_queries : 1;
    queries.assign(static_cast<std::size_t>(num_queries * input.head_dim), T(0));
    for (index_t q = 0; q < num_queries; ++q) {
      for (index_t d = 0; d < input.head_dim; ++d)
        at(queries, q * tile.query_token_stride + d * tile.query_dim_stride) =
            at(input.queries, (first_query + q) * input.head_dim + d);
    }
    tile.queries = queries.data();
    tile.head_dim = input.head_dim;
    tile.key_token_stride = input.head_dim;
    tile.scale = input.scale;
    tile.scratch = scratch.empty() ? nullptr : scratch.data();
  }
  piece_of_tile(const piece_of_tile&) = delete;
  piece_of_tile& operator=(const piece_of_tile&) = delete;

  void move_to(const tile_input<T>& input, index_t first_key, index_t num_keys) {
    tile.first_key = first_key;
    tile.num_keys = num_keys;
    tile.key_positions = input.key_positions.data() + first_key;
    tile.keys = input.keys.data() + first_key * input.head_dim;
    std::fill(scores.begin(), scores.end(), T(-55));
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < num_keys; ++k)
        tile.score(q, k) = at(input.scores, (tile.first_query + q) * input.num_keys() + first_key + k);
    }
  }
};

/// The scores after the encoding, [num_queries, num_keys]; empty if it wrote outside of a tile.
template <real T>
std::vector<T> biased(const score_hook<T>& hook, const tile_input<T>& input, const tile_form& form) {
  std::vector<T> result(input.scores.size());
  const index_t most_queries = form.num_queries > 0 ? form.num_queries : input.num_queries();
  const index_t most_keys = form.num_keys > 0 ? form.num_keys : input.num_keys();
  for (index_t first_query = 0; first_query < input.num_queries(); first_query += most_queries) {
    const index_t num_queries = std::min(most_queries, input.num_queries() - first_query);
    piece_of_tile<T> piece(input, form, first_query, num_queries, most_keys, hook.scratch_size(num_queries));
    hook.begin(piece.tile);
    for (index_t end = input.num_keys(); end > 0; end -= most_keys) {
      const index_t first_key = std::max<index_t>(0, end - most_keys);
      piece.move_to(input, first_key, end - first_key);
      hook.add_to_scores(piece.tile);
      for (index_t q = 0; q < num_queries; ++q) {
        for (index_t k = 0; k < end - first_key; ++k) {
          at(result, (first_query + q) * input.num_keys() + first_key + k) = piece.tile.score(q, k);
          piece.tile.score(q, k) = T(-55);
        }
      }
      for (const T beside : piece.scores) {
        if (beside != T(-55)) return {};
      }
    }
  }
  return result;
}

template <real T, real U>
void expect_near_scores(law& l, const std::vector<T>& seen, const std::vector<U>& expected, double allowed,
                        const tile_input<T>& input, const std::string& when) {
  l.expect(seen.size() == input.scores.size() && seen.size() == expected.size(),
           [&] { return when + ": something was written beside the tile"; });
  for (index_t i = 0; i < std::ssize(seen) && !l.broken(); ++i) {
    l.expect_near(static_cast<double>(at(seen, i)), static_cast<double>(at(expected, i)), allowed,
                  [&] { return when + ": the score of " + input.place_of(i); });
  }
}

/// Calls `visit(input, name)` for all tiles that the encoding accepts: every head, ids of every kind.
template <real T, scalar S, class Visit>
void for_accepted_tiles(const trial<S>& t, const score_hook<T>& hook, Visit visit) {
  const index_t count = std::min<index_t>(t.sizes.num_tokens, 19);
  for (const named_ids& list : lists_of_ids(count, t.random())) {
    const std::vector<position_t> queries(list.ids.end() - (count + 1) / 2, list.ids.end());  // fewer than keys
    const score_shape shape{std::ssize(queries), count, t.sizes.num_heads, t.sizes.head_dim, 0};
    if (check_distances("laws", positions(queries), positions(list.ids))) continue;
    if (hook.check(shape, positions(queries), positions(list.ids))) continue;
    for (index_t head = 0; head < t.sizes.num_heads; ++head) {
      tile_input<T> input = tile_of<T>(t.sizes, head, queries, list.ids, t.random());
      input.consecutive = list.name == std::string("consecutive");
      visit(std::as_const(input), list.name);
    }
  }
}

// ---- Laws ----

/// Tiles give the same whether key-major or query-major, dense or with gaps, whole or in pieces, marked consecutive or
/// not. Returns whether this holds.
template <scalar S, real T>
bool check_forms(const trial<S>& t, const score_hook<T>& hook) {
  law l = t.start("scores: every form of a tile gives the same");
  const std::pair<const char*, tile_form> forms[] = {
      {"queries side by side", {.key_major = true}},
      {"rows with gaps", {.gap = 3}},
      {"queries side by side, with gaps", {.key_major = true, .gap = 2}},
      {"not told that ids are consecutive", {.tell_consecutive = false}},
      {"pieces of 3 queries and 4 keys", {.num_queries = 3, .num_keys = 4}},
      {"pieces of 4 queries and 3 keys, queries side by side", {.key_major = true, .num_queries = 4, .num_keys = 3}},
      {"one by one", {.num_queries = 1, .num_keys = 1}}};
  for_accepted_tiles<T>(t, hook, [&](const tile_input<T>& input, const char* name) {
    const std::vector<T> whole = biased(hook, input, {});
    for (const auto& [form_name, form] : forms) {
      const double allowed = 32 * rounding_of<T>() * size_of(whole);
      expect_near_scores(l, biased(hook, input, form), whole, allowed, input, std::string(name) + ", " + form_name);
    }
  });
  return !l.broken();
}

/// No NaN and no plus infinity: minus infinity masks a pair.
template <scalar S, real T>
void check_no_nan(const trial<S>& t, const score_hook<T>& hook) {
  law l = t.start("scores: are numbers at every distance that is not refused");
  constexpr position_t last = std::numeric_limits<position_t>::max();
  for (const auto& [query, key] :
       {std::pair{position_t{0}, position_t{0}}, std::pair{last, position_t{0}}, std::pair{position_t{0}, last},
        std::pair{position_t{-1}, -last}, std::pair{-last - 1, position_t{-1}}}) {
    const std::vector<position_t> q{query};
    const std::vector<position_t> k{key};
    if (check_distances("laws", positions(q), positions(k)) ||
        hook.check({1, 1, t.sizes.num_heads, t.sizes.head_dim, 0}, positions(q), positions(k)))
      continue;
    for (index_t head = 0; head < t.sizes.num_heads; ++head) {
      const tile_input<T> input = tile_of<T>(t.sizes, head, q, k, t.random());
      for (const T score : biased(hook, input, {})) {
        l.expect(is_finite(static_cast<double>(score)) || score < 0,
                 [&] { return input.place_of(0) + ": " + text_of(static_cast<double>(score)); });
      }
    }
  }
}

/// A bias of distance equals what fill_bias tabulates.
template <scalar S, real T>
void check_fill_bias(const trial<S>& t, const score_hook<T>& hook) {
  if (!hook.fill_bias) return;
  law l = t.start("fill_bias: is the bias of a tile");
  constexpr index_t count = 41;
  constexpr position_t last = std::numeric_limits<position_t>::max();
  for (const position_t first : {position_t{-20}, (1 << 20) + 1, last - 40, -last}) {
    for (index_t head = 0; head < t.sizes.num_heads; ++head) {
      std::vector<position_t> distances;
      for (index_t i = 0; i < count; ++i) distances.push_back(first + static_cast<position_t>(i));
      const std::vector<position_t> key{0};
      if (hook.check({count, 1, t.sizes.num_heads, t.sizes.head_dim, 0}, positions(distances), positions(key)))
        continue;
      tile_input<T> input = tile_of<T>(t.sizes, head, distances, key, t.random());
      std::fill(input.scores.begin(), input.scores.end(), T(0));
      const std::vector<T> expected = biased(hook, input, {});
      std::vector<T> table(static_cast<std::size_t>(count));
      hook.fill_bias(head, first, count, table.data());
      expect_near_scores(l, table, expected, 4 * rounding_of<T>() * size_of(expected), input, "the bias in");
    }
  }
}

/// Whether the hook changes any score.
template <scalar S, real T>
bool acts_on_scores(const trial<S>& t, const score_hook<T>& hook) {
  bool changed = false;
  for_accepted_tiles<T>(t, hook, [&](const tile_input<T>& input, const char*) {
    changed = changed || !same_bits(biased(hook, input, {}), input.scores);
  });
  return changed;
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
