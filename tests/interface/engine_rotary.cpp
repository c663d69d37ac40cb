#include "engine_rotary.hpp"

#include <posenc/attention/reference.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"
#include "allocation_count.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace posenc;

namespace {

// The same in double, over all tokens at once.
std::vector<reference_head> expected_of(const rope& rotary, owned_heads<bf16> q, owned_heads<bf16> k,
                                        const owned_heads<bf16>& v) {
  rotate(rotary, q.view(), k.view(), positions(0, q.num_tokens));
  return attend_reference(q.view(), k.view(), v.view(), no_encoding{}, {.band = causal()});
}

}  // namespace

TEST_CASE("interface: a rotary engine, prefill and then token by token, allocates nothing", "[interface]") {
  constexpr index_t num_tokens = 20;
  random_values random(3);
  const owned_heads<bf16> q(random, num_tokens, 32, 128);
  const owned_heads<bf16> k(random, num_tokens, 8, 128);
  const owned_heads<bf16> v(random, num_tokens, 8, 128);
  const rope rotary = llama3_rope();
  const auto expected = expected_of(rotary, q, k, v);

  owned_heads<bf16> engine_q = q;
  owned_heads<bf16> engine_k = k;
  owned_heads<bf16> out(num_tokens, 32, 128);
  kv_cache cache(num_tokens);
  const std::size_t before = allocation_count();
  for (index_t past = 0; past < num_tokens;) {
    const index_t count = past == 0 ? 17 : 1;
    attend_step(rotary, engine_q.view().row(past, 0), engine_k.view().row(past, 0), v.view().row(past, 0),
                out.view().row(past, 0), past, count, cache);
    past += count;
  }
  CHECK(allocation_count() == before);

  double largest = 0;
  for (index_t t = 0; t < num_tokens; ++t) {
    for (index_t h = 0; h < 32; ++h) {
      for (index_t d = 0; d < 128; ++d) {
        const double difference =
            widen<double>(out.view().row(t, h)[d]) - expected[static_cast<std::size_t>(h)].out(t, d);
        largest = std::max(largest, std::abs(difference));
      }
    }
  }
  CHECK(largest > 0);
  CHECK(largest < 0x1p-9 + 0x1p-8);  // values below 1, rounded to bf16, as their weights may be
}
