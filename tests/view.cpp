#include <posenc/view.hpp>

#include "catch.hpp"

#include <numeric>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

std::vector<float> counted(std::size_t size) {
  std::vector<float> memory(size);
  std::iota(memory.begin(), memory.end(), 0.0F);
  return memory;
}

}  // namespace

static_assert(std::is_trivially_copyable_v<token_view<float>> && std::is_trivially_copyable_v<head_view<bf16>>);
static_assert(std::is_convertible_v<token_view<float>, token_view<const float>>);
static_assert(!std::is_convertible_v<token_view<const float>, token_view<float>>);
static_assert(!std::is_convertible_v<token_view<double>, token_view<const float>>);
static_assert(std::is_convertible_v<head_view<f16>, head_view<const f16>>);
static_assert(!std::is_convertible_v<head_view<const f16>, head_view<f16>>);

TEST_CASE("view: nothing is the default", "[view]") {
  CHECK(token_view<float>().num_tokens == 0);
  CHECK(head_view<float>().data == nullptr);
  CHECK(head_view<float>().tokens(0, 0).num_tokens == 0);
}

TEST_CASE("view: embeddings are rows, dense unless a stride says otherwise", "[view]") {
  auto memory = counted(30);
  const token_view x(memory.data(), 5, 6);
  CHECK(*x.token(3) == 18);
  const token_view<const float> columns = token_view(memory.data() + 2, 5, 3, 6);  // columns 2 to 4
  CHECK(columns.token(3)[1] == 21);
  CHECK(columns.tokens(2, 2).num_tokens == 2);
  CHECK(columns.tokens(2, 2).token(1)[1] == 21);
}

TEST_CASE("view: token-major, head-major and packed memory give the same heads", "[view]") {
  constexpr index_t tokens = 3, heads = 2, dim = 4;
  auto by_token = counted(24);
  const head_view token_major(by_token.data(), tokens, heads, dim);

  std::vector<float> by_head(24);
  const auto transposed = head_major(by_head.data(), heads, tokens, dim);
  std::vector<float> packed(3 * 24);  // [token, q | k | v, head, dim]
  const head_view keys(packed.data() + heads * dim, tokens, heads, dim, 3 * heads * dim, dim);
  for (index_t t = 0; t < tokens; ++t) {
    for (index_t h = 0; h < heads; ++h) {
      for (index_t d = 0; d < dim; ++d) {
        transposed.row(t, h)[d] = token_major.row(t, h)[d];
        keys.row(t, h)[d] = token_major.row(t, h)[d];
      }
    }
  }
  CHECK(by_head == std::vector<float>{0, 1, 2, 3, 8,  9,  10, 11, 16, 17, 18, 19,  //
                                      4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23});
  CHECK(packed[24 + 8] == 8);  // of token 1 the keys come second
  CHECK(std::accumulate(packed.begin(), packed.end(), 0.0F) == 276);
}

TEST_CASE("view: stretches of tokens and of heads are views of the same memory", "[view]") {
  auto memory = counted(60);
  const head_view<const float> x = head_view(memory.data(), 5, 3, 4);
  const auto part = x.tokens(1, 3).heads(2, 1);
  CHECK(part.num_tokens == 3);
  CHECK(part.num_heads == 1);
  CHECK(part.head_dim == 4);
  CHECK(part.row(2, 0) == x.row(3, 2));
  CHECK(*part.row(2, 0) == 44);
  CHECK(x.block(1, 3).row(2, 2) == x.row(3, 2));
  CHECK(x.block(1, 3).num_tokens == 3);
}
