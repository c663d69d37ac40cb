// Every encoding at the size of a small model: where it acts, its parameters, its storage, and whether it extrapolates.
#include <posenc/posenc.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

using namespace posenc;

namespace {

/// Bytes currently allocated.
std::size_t bytes_held() {
#if defined(__GLIBC__)
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

constexpr index_t num_heads = 8, head_dim = 64, dim = num_heads * head_dim;
constexpr index_t trained_length = 512, longer = 2 * trained_length;
constexpr patch_window image{.height = 16, .width = 32};  // trained_length patches

template <class E>
std::string places_of() {
  std::string places;
  if constexpr (embedding_encoding<E, float>) places += ", embeddings";
  if constexpr (query_key_encoding<E, float>) places += ", q and k";
  if constexpr (relative_bias<E, float>) places += ", scores by distance";
  if constexpr (pairwise_bias<E, float>) places += ", scores by positions";
  if constexpr (tile_bias<E, float>) places += ", scores by tile";
  return places.empty() ? "nothing" : places.substr(2);
}

/// Whether the encoding accepts a text of this many tokens.
template <class E>
bool takes(const E& encoding, index_t num_tokens) {
  const positions ids(0, num_tokens);
  if constexpr (embedding_encoding<E, float>) return !hooks::check_add<float>(encoding, {num_tokens, dim}, ids);
  if constexpr (query_key_encoding<E, float>)
    return !hooks::check_rotate<float>(encoding, {num_tokens, num_heads, head_dim}, ids);
  if constexpr (score_encoding<E, float>)
    return !hooks::check_scores<float>(encoding, {num_tokens, num_tokens, num_heads, head_dim}, ids, ids);
  return true;
}

template <class Make>
void print(const char* name, Make make) {
  static_cast<void>(make());  // one-time allocations are not the encoding's
  const std::size_t before = bytes_held();
  const auto encoding = make();
  const std::size_t storage = bytes_held() - before;
  if (!takes(encoding, trained_length)) {
    std::printf("%s does not take %ld tokens\n", name, static_cast<long>(trained_length));
    std::exit(1);
  }
  std::printf("%-20s %-24s %10ld %10zu   %s\n", name, places_of<std::remove_const_t<decltype(encoding)>>().c_str(),
              static_cast<long>(hooks::num_parameters(encoding)), storage, takes(encoding, longer) ? "yes" : "no");
}

std::vector<float> numbers(index_t count) { return std::vector<float>(static_cast<std::size_t>(count), 0.01F); }

}  // namespace

int main() {
  constexpr index_t buckets = 256, width = 32;
  const std::vector<float> of_heads = numbers(num_heads), of_width = numbers(width), of_two = numbers(2 * width);
  const std::vector<float> of_all = numbers(num_heads * width), vectors = numbers(dim);
  const std::vector<float> sums = numbers(num_heads * longer);
  const std::vector<float> bucket_vectors = numbers(num_heads * 2 * buckets * head_dim);
  const std::vector<float> matrix = numbers(trained_length * trained_length);

  std::printf("%ld heads of %ld, trained on %ld tokens\n\n", static_cast<long>(num_heads), static_cast<long>(head_dim),
              static_cast<long>(trained_length));
  std::printf("%-20s %-24s %10s %10s   takes %ld\n", "encoding", "acts on", "parameters", "bytes",
              static_cast<long>(longer));
  print("no_encoding", [] { return no_encoding{}; });
  print("sinusoidal", [] { return sinusoidal({.dim = dim}); });
  print("sinusoidal_grid", [] { return sinusoidal_grid({.dim = dim}); });
  print("scaled_sinusoidal", [] { return scaled_sinusoidal<float>({.dim = dim}); });
  print("learned", [] { return learned<float>(numbers(trained_length * dim), dim); });
  print("learned_grid", [] {
    return learned_grid<float>(numbers(2 * trained_length * dim),
                               {.sizes = {trained_length, trained_length}, .dim = dim});
  });
  print("rope", [&] { return rope(pairing::half, default_frequencies({.head_dim = head_dim})); });
  print("mixed_rope", [] { return mixed_rope<float>(pairing::half, numbers(2 * dim / 2), {.num_heads = num_heads}); });
  print("xpos", [&] { return xpos(rope(pairing::half, default_frequencies({.head_dim = head_dim})), {}); });
  print("fope", [&] {
    const auto list = default_frequencies({.head_dim = head_dim});
    return fope<float>(list, numbers(2 * list.size() * list.size()), {.rotary_dim = head_dim});
  });
  print("liere", [] { return liere<float>(numbers(2 * 8 * 28), {.num_blocks = 8, .block_dim = 8}); });
  print("llama4_temperature", [] { return llama4_temperature(llama4_temperature_params{}); });
  print("log_n_scaling", [] { return log_n_scaling(trained_length); });
  print("alibi", [] { return alibi<float>(num_heads); });
  print("two_sided_alibi", [&] { return two_sided_alibi<float>(of_heads, of_heads); });
  print("falcon_alibi", [] { return falcon_alibi<float>({.num_heads = num_heads, .scale = 0.125}); });
  print("t5_bias", [] { return t5_bias<float>(numbers(32 * num_heads)); });
  print("kerple", [&] { return kerple<float>(kerple_kernel::log, of_heads, of_heads); });
  print("sandwich", [] { return sandwich({.num_heads = num_heads}); });
  print("mlp_bias", [] {
    return mlp_bias<float>(numbers(2 * width + width * (width + 1) + num_heads * (width + 1)),
                           {.num_heads = num_heads, .mlp_width = width});
  });
  print("fire", [&] {
    return fire<float>({.num_heads = num_heads, .w1 = of_width, .b1 = of_width, .w2 = of_all, .b2 = of_heads});
  });
  print("window_bias", [] { return window_bias<float>(numbers(image.num_offsets() * num_heads), image); });
  print("swin_v2_bias", [&] {
    return swin_v2_bias<float>(
        {.window = image, .num_heads = num_heads, .mlp_width = width, .w1 = of_two, .b1 = of_width, .w2 = of_all});
  });
  print("tabulated_bias", [] {
    return tabulated_bias<float>(numbers(num_heads * (2 * trained_length - 1)), num_heads, trained_length - 1);
  });
  print("dense_bias",
        [&] { return dense_bias<float>(matrix.data(), {.num_queries = trained_length, .num_keys = trained_length}); });
  print("forgetting", [&] { return forgetting<float>(sums.data(), {.num_heads = num_heads, .num_tokens = longer}); });
  print("shaw",
        [] { return shaw<float>(numbers(129 * head_dim), {.left_max = 64, .right_max = 64, .head_dim = head_dim}); });
  print("transformer_xl", [&] {
    return transformer_xl<float>(vectors, vectors, numbers(num_heads * (2 * trained_length - 1) * head_dim), num_heads,
                                 {.first = 1 - trained_length, .last = trained_length - 1});
  });
  print("deberta",
        [&] { return deberta<float>({.num_heads = num_heads, .head_dim = head_dim, .pos_keys = bucket_vectors}); });
  print("cope", [] { return cope<float>(numbers(64 * head_dim), head_dim); });
  print("rope and alibi", [&] {
    return combine(rope(pairing::half, default_frequencies({.head_dim = head_dim})), alibi<float>(num_heads));
  });
  std::printf(
      "\n`bytes` are what the encoding itself allocates, as glibc counts them: foreign tables are the caller's.\n");
}
