// Five encodings in the same attention at 1 to 64 times the trained length: which are defined there, and do scores
// depend on distance alone?
#include "sections.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/eigen.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/scaling/default.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace demo {

namespace {

using namespace posenc;
using matrix = row_matrix<float>;

constexpr index_t trained = 64, dim = 64;

// One head of a layer, and two words for it to compare.
struct head {
  matrix query_projection, key_projection;  // [dim, dim]
  matrix query_word, key_word;              // [1, dim]
};

matrix random_matrix(index_t rows, index_t columns, float deviation, std::mt19937& engine) {
  std::normal_distribution<float> normal(0, deviation);
  return matrix::NullaryExpr(rows, columns, [&] { return normal(engine); });
}

// The score of a word at position `query` for another at position `key`, wherever the encoding acts. With a single key,
// the log-sum-exp of a row is its score. Empty if the encoding refuses a position.
std::optional<float> score(const head& h, const any_encoding<float>& encoding, position_t query, position_t key) {
  const positions query_position(query, 1), key_position(key, 1);
  matrix x = h.query_word, y = h.key_word;
  if (check_add(encoding, as_tokens(x), query_position) || check_add(encoding, as_tokens(y), key_position)) return {};
  add_to(encoding, as_tokens(x), query_position);
  add_to(encoding, as_tokens(y), key_position);

  matrix q = x * h.query_projection, k = y * h.key_projection, out = q;
  apply_to_queries(encoding, as_heads(q, 1), query_position);
  apply_to_keys(encoding, as_heads(k, 1), key_position);

  float lse = 0;
  attend(as_heads(q, 1), as_heads(k, 1), as_heads(k, 1), as_heads(out, 1), scores_of(encoding),
         {.positions = {query_position, key_position}, .lse = {&lse, 1, 1}});
  return lse;
}

struct range {
  float least = std::numeric_limits<float>::infinity(), largest = -least;
  void include(float value) {
    least = std::min(least, value);
    largest = std::max(largest, value);
  }
  float width() const { return largest - least; }
};

// Scores of pairs at the same distance, at places all over a text of `length` tokens.
std::optional<range> scores_at(const head& h, const any_encoding<float>& encoding, position_t distance,
                               index_t length) {
  range seen;
  for (int sample = 0; sample <= 50; ++sample) {
    const auto key = static_cast<position_t>((length - 1 - distance) * sample / 50);
    const auto s = score(h, encoding, key + distance, key);
    if (!s) return {};
    seen.include(*s);
  }
  return seen;
}

// How far scores at the same distance differ; empty if a position is refused.
std::optional<float> spread(const head& h, const any_encoding<float>& encoding, index_t length) {
  float widest = 0;
  for (const position_t distance : {0, 1, 2, 5, 13, 34}) {
    const auto seen = scores_at(h, encoding, distance, length);
    if (!seen) return {};
    widest = std::max(widest, seen->width());
  }
  return widest;
}

// How far scores at different distances differ, with the query at the end of the trained length.
float effect_of_distance(const head& h, const any_encoding<float>& encoding) {
  range seen;
  for (position_t distance = 0; distance < trained; ++distance)
    seen.include(score(h, encoding, trained - 1, trained - 1 - distance).value());
  return seen.width();
}

std::string cell(std::optional<float> value) {
  if (!value) return "refused";
  if (*value == 0) return "0";
  char text[32];
  std::snprintf(text, sizeof text, *value < 0.01f ? "%.0e" : "%.2f", static_cast<double>(*value));
  return text;
}

struct column {
  const char* name;
  any_encoding<float> encoding;
};

}  // namespace

bool extrapolation() {
  std::mt19937 engine(1);
  const float fan_in = 1 / std::sqrt(static_cast<float>(dim));
  const head h{random_matrix(dim, dim, fan_in, engine), random_matrix(dim, dim, fan_in, engine),
               random_matrix(1, dim, 1, engine), random_matrix(1, dim, 1, engine)};
  const matrix table = random_matrix(trained, dim, 1, engine);
  const column columns[] = {
      {"none", no_encoding{}},
      {"sinusoidal", sinusoidal({.dim = dim})},
      {"learned", learned_view<float>(as_tokens(table))},
      {"RoPE", rope(pairing::half, default_frequencies({.head_dim = dim, .rope_theta = 10000}))},
      {"ALiBi", alibi<float>(std::vector<float>{1.0f / 16})},
  };

  std::printf("Beyond the trained length: the score of two words, in one attention layer\n\n%-31s", "");
  for (const column& c : columns) std::printf("%12s", c.name);
  std::printf("\n%-31s", "distance changes it by");
  for (const column& c : columns) std::printf("%12s", cell(effect_of_distance(h, c.encoding)).c_str());
  std::printf("\nat one distance it still differs by\n");
  bool right = true;
  for (index_t times = 1; times <= 64; times *= 2) {
    std::printf("  in a text of %4td (%2tdx)       ", times * trained, times);
    for (const column& c : columns) {
      const auto seen = spread(h, c.encoding, times * trained);
      std::printf("%12s", cell(seen).c_str());
    }
    std::printf("\n");
    const auto of = [&](int i) { return spread(h, columns[i].encoding, times * trained); };
    right =
        right && of(0) == 0.0f && of(1) > 0.1f && of(2).has_value() == (times == 1) && of(3) < 1e-4f && of(4) == 0.0f;
  }
  std::printf(
      "\nNone sees no distance. Sinusoids and a learned table tell places apart, so scores depend on places; the\n"
      "table ends where training did. RoPE and ALiBi see distance alone, at any length (what is left is rounding).\n");
  return right;
}

}  // namespace demo
