#include "engine_runtime_choice.hpp"

#include <posenc/attention/attention.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"
#include "allocation_count.hpp"

using namespace posenc;

namespace {

constexpr index_t num_tokens = 11;

/// A sequence through the engine's three calls; embeddings and attention's output.
struct engine_run {
  std::vector<float> x;
  owned_heads<bf16> q, k, v;
  owned_heads<float> out{num_tokens, 2, 6};
  std::size_t allocations = 0;

  explicit engine_run(const any_encoding<float, bf16>& encoding, std::vector<position_t> ids)
      : x(random_values(5).list<float>(num_tokens * 12)), q(made(6)), k(made(7)), v(made(8)) {
    const std::size_t before = allocation_count();
    add_positions(encoding, token_view<float>(x.data(), num_tokens, 12), ids);
    transform(encoding, q.view(), k.view(), ids);
    attend_to(encoding, q.view(), {k.view(), v.view(), ids}, out.view(), ids);
    allocations = allocation_count() - before;
  }

  static owned_heads<bf16> made(unsigned seed) {
    random_values random(seed);
    return {random, num_tokens, 2, 6};
  }
};

std::vector<position_t> padded_ids() { return {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7}; }

}  // namespace

TEST_CASE("interface: a model file names the encoding, and the engine's code is the same", "[interface]") {
  const engine_run none(encoding_from({"none"}), padded_ids());
  CHECK(none.x == random_values(5).list<float>(num_tokens * 12));
  for (const char* name : {"sinusoidal", "learned", "rope", "alibi", "t5", "cope", "rope and alibi"}) {
    CAPTURE(name);
    const engine_run run(encoding_from({name}), padded_ids());
    const bool on_embeddings = std::string_view(name) == "sinusoidal" || std::string_view(name) == "learned";
    CHECK((run.x != none.x) == on_embeddings);
    CHECK((run.out.values != none.out.values) == !on_embeddings);
    CHECK(run.allocations == 0);
  }
}

TEST_CASE("interface: the three calls are what attention() does with the encoding itself", "[interface]") {
  const std::vector<position_t> ids = padded_ids();
  const engine_run run(encoding_from({"rope and alibi"}), ids);
  const auto encoding = combine(rope(pairing::half, default_frequencies({.head_dim = 6})), alibi<float>(2));
  owned_heads<float> out(num_tokens, 2, 6);
  attention(engine_run::made(6).view(), engine_run::made(7).view(), engine_run::made(8).view(), out.view(), encoding,
            {.band = causal(), .positions = {ids, ids}});
  CHECK(run.out.values == out.values);
}

TEST_CASE("interface: a prompt beyond the model's table is refused, and the engine lives on", "[interface]") {
  const auto encoding = encoding_from({"learned"});
  std::vector<position_t> ids = padded_ids();
  ids.back() = 64;
  std::vector<float> x(num_tokens * 12);
  const problem wrong = check_add(encoding, token_view<float>(x.data(), num_tokens, 12), ids);
  CHECK(wrong.message() == "add_to: positions[10] is 64, expected at most 63");
}
