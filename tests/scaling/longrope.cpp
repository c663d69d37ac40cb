#include <posenc/scaling/longrope.hpp>

#include <posenc/scaling/default.hpp>

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace posenc;
using Catch::Matchers::WithinRel;

namespace {

const std::vector<double> short_factor{1.0, 1.25, 1.5, 2.0};
const std::vector<double> long_factor{1.0, 4.0, 16.0, 64.0};

longrope_frequencies_params phi3(index_t seq_len) {
  return {.head_dim = 8,
          .short_factor = short_factor,
          .long_factor = long_factor,
          .original_max_position_embeddings = 4096,
          .max_position_embeddings = 131072,
          .seq_len = seq_len};
}

}  // namespace

TEST_CASE("longrope_frequencies: the original length is the last short one", "[scaling]") {
  const frequencies plain = default_frequencies({.head_dim = 8});
  for (const index_t seq_len : {0, 1, 4095, 4096}) {
    const frequencies f = longrope_frequencies(phi3(seq_len));
    CAPTURE(seq_len);
    CHECK(f.inv_freq(1) == 0.08);  // 0.1 / 1.25
    CHECK(f.inv_freq(3) == plain.inv_freq(3) / 2);
  }
  for (const index_t seq_len : {4097, 131072}) {
    const frequencies f = longrope_frequencies(phi3(seq_len));
    CAPTURE(seq_len);
    CHECK(f.inv_freq(1) == 0.025);
    CHECK(f.inv_freq(3) == plain.inv_freq(3) / 64);
  }
}

TEST_CASE("longrope_frequencies: the attention factor does not depend on the length", "[scaling]") {
  CHECK_THAT(longrope_frequencies(phi3(1)).attention_factor(), WithinRel(1.190238, 1e-6));
  CHECK(longrope_frequencies(phi3(131072)).attention_factor() == longrope_frequencies(phi3(1)).attention_factor());

  longrope_frequencies_params p = phi3(1);
  p.factor = 4;  // wins over the two lengths
  CHECK_THAT(longrope_frequencies(p).attention_factor(),
             WithinRel(std::sqrt(1 + std::log(4.0) / std::log(4096.0)), 1e-14));
  p.factor = 1;
  CHECK(longrope_frequencies(p).attention_factor() == 1);
  p.attention_factor = 1.1;
  CHECK(longrope_frequencies(p).attention_factor() == 1.1);
  p = phi3(1);
  p.max_position_embeddings = 4096;
  CHECK(longrope_frequencies(p).attention_factor() == 1);
}

TEST_CASE("longrope_frequencies: errors name argument, value and rule", "[scaling]") {
  longrope_frequencies_params p = phi3(1);
  p.head_dim = 10;
  CHECK_THROWS_WITH(longrope_frequencies(p),
                    "longrope_frequencies: size of short_factor is 4, expected 5, half of rotary_dim");
  p = phi3(1);
  p.long_factor = {};
  CHECK_THROWS_WITH(longrope_frequencies(p),
                    "longrope_frequencies: size of long_factor is 0, expected 4, half of rotary_dim");
  const std::vector<double> zero{1.0, 0.0, 1.0, 1.0};
  for (const index_t seq_len : {1, 4097}) {  // the list that is not read is checked too: it will be
    CAPTURE(seq_len);
    p = phi3(seq_len);
    p.short_factor = zero;
    CHECK_THROWS_WITH(longrope_frequencies(p),
                      "longrope_frequencies: short_factor[1] is 0, expected above 0 and finite");
    p = phi3(seq_len);
    p.long_factor = zero;
    CHECK_THROWS_WITH(longrope_frequencies(p),
                      "longrope_frequencies: long_factor[1] is 0, expected above 0 and finite");
  }
  p = phi3(1);
  p.original_max_position_embeddings = 0;
  CHECK_THROWS_AS(longrope_frequencies(p), std::invalid_argument);
  p = phi3(1);
  p.max_position_embeddings = 0;
  CHECK_THROWS_WITH(longrope_frequencies(p),
                    "longrope_frequencies: max_position_embeddings is 0, expected at least 1, or a factor");
  p = phi3(-1);
  CHECK_THROWS_AS(longrope_frequencies(p), std::invalid_argument);
}
