// One call of a main kernel, named on the command line: count.sh counts its instructions.
#include <posenc/posenc.hpp>

#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t num_tokens = 128, num_heads = 4, num_kv_heads = 2, head_dim = 64;

std::vector<float> numbers(index_t count) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) * 0.1F - 0.8F;
  return x;
}

struct tensors {
  std::vector<float> q = numbers(num_tokens * num_heads * head_dim), out = q;
  std::vector<float> k = numbers(num_tokens * num_kv_heads * head_dim), v = k;
  std::vector<float> cos = numbers(num_tokens * head_dim / 2), sin = cos;
  std::vector<bf16> cache = std::vector<bf16>(k.size());
  std::vector<std::int8_t> small = std::vector<std::int8_t>(k.size());
  std::vector<float> scales = std::vector<float>(static_cast<std::size_t>(num_tokens * num_kv_heads));
  std::vector<float> workspace = std::vector<float>(1 << 20);

  head_view<float> queries() { return {q.data(), num_tokens, num_heads, head_dim}; }
  head_view<float> keys() { return {k.data(), num_tokens, num_kv_heads, head_dim}; }
  head_view<float> values() { return {v.data(), num_tokens, num_kv_heads, head_dim}; }
  head_view<float> output() { return {out.data(), num_tokens, num_heads, head_dim}; }
  cos_sin_rows<float> rows() { return {cos.data(), sin.data(), num_tokens, head_dim / 2}; }
  template <class E>
  void attend_to(index_t num_queries, const E& encoding) {
    attend(unchecked, queries().tokens(0, num_queries), keys(), values(), output().tokens(0, num_queries), encoding,
           {.band = causal(), .run = {.workspace = workspace}});
  }
};

}  // namespace

int main(int argc, char** argv) {
  tensors x;
  const positions at(1000, num_tokens);
  const rope half(pairing::half, default_frequencies({.head_dim = head_dim}));
  const rope interleaved(pairing::interleaved, default_frequencies({.head_dim = head_dim}));
  const alibi<float> slopes(num_heads);
  const std::map<std::string, std::function<void()>> kernels{
      {"nothing", [] {}},
      {"fill_cos_sin", [&] { fill_cos_sin(half, at, x.rows()); }},
      {"rotate_half_by_rows", [&] { rotate(unchecked, x.rows(), pairing::half, x.queries()); }},
      {"rotate_interleaved_by_rows", [&] { rotate(unchecked, x.rows(), pairing::interleaved, x.queries()); }},
      {"rotate_half_by_positions", [&] { rotate(unchecked, half, x.queries(), at); }},
      {"rotate_interleaved_by_positions", [&] { rotate(unchecked, interleaved, x.queries(), at); }},
      {"rotate_to_bf16",
       [&] {
         const head_view<bf16> to(x.cache.data(), num_tokens, num_kv_heads, head_dim);
         rotate_to(unchecked, x.rows(), pairing::half, x.keys(), to);
       }},
      {"rotate_to_int8",
       [&] {
         const quantized_view<std::int8_t> to(x.small.data(), x.scales.data(), num_tokens, num_kv_heads, head_dim);
         rotate_to(unchecked, x.rows(), pairing::half, x.keys(), to);
       }},
      {"attend", [&] { x.attend_to(num_tokens, no_encoding{}); }},
      {"attend_with_alibi", [&] { x.attend_to(num_tokens, slopes); }},
      {"decode", [&] { x.attend_to(1, no_encoding{}); }},
  };
  if (argc == 2 && kernels.contains(argv[1])) return kernels.at(argv[1])(), 0;
  for (const auto& [name, run] : kernels) std::printf("%s\n", name.c_str());
  return argc == 1 ? 0 : 1;
}
