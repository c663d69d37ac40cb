// What runs per token of a model neither allocates nor throws.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_cache.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/quantize.hpp>
#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {
std::atomic<long> num_allocations = 0;
}

// For the whole program; the array and nothrow forms call this one. Not inlined, because GCC would then warn that
// memory from new goes to free.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++num_allocations;
  if (void* memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
// Under the address sanitizer each form comes from its run-time library unless it is replaced too.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++num_allocations;
  return std::malloc(size > 0 ? size : 1);
}
[[gnu::noinline]] void* operator new[](std::size_t size) { return ::operator new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept {
  return ::operator new(size, tag);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  ++num_allocations;
  const auto unit = static_cast<std::size_t>(alignment);
  if (void* memory = std::aligned_alloc(unit, (size + unit - 1) / unit * unit)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

template <class Act>
long allocations_of(Act act) {
  const long before = num_allocations;
  act();
  return num_allocations - before;
}

constexpr index_t num_tokens = 9, num_heads = 4, num_kv_heads = 2, head_dim = 40;

}  // namespace

TEST_CASE("no_allocation: an allocation would be seen", "[no_allocation]") {
  std::vector<int> plain;
  CHECK(allocations_of([&] { plain.resize(10); }) == 1);
  struct alignas(128) wide {
    char bytes[128];
  };
  std::vector<wide> aligned;
  CHECK(allocations_of([&] { aligned.resize(3); }) == 1);
}

TEMPLATE_TEST_CASE("no_allocation: rotations in place, by positions and by rows, back and on", "[no_allocation]", float,
                   double, bf16, f16) {
  random_values random(1);
  const pairing read = GENERATE(pairing::half, pairing::interleaved);
  const pairing written = GENERATE(pairing::half, pairing::interleaved);
  const rope rotary(read, default_frequencies({.head_dim = 32}).with_attention_factor(1.5),
                    {.first_column = 3, .output = written});
  owned_heads<TestType> q(random, num_tokens, num_heads, head_dim);
  owned_heads<float> k(random, num_tokens, num_kv_heads, head_dim);
  const std::vector<position_t> ids{5, 4, 3, -2, 1, 0, 1 << 30, 7, 7};
  std::vector<float> table(num_tokens * 32);
  const cos_sin_rows<float> rows(table.data(), table.data() + 16, num_tokens, 16, 32);
  CHECK(allocations_of([&] {
          rotate(rotary, q.view(), k.view(), ids);
          rotate(rotary, q.view(), positions(10, num_tokens));
          unrotate(rotary, q.view(), ids);
          shift(rotary, q.view(), ids);
          fill_cos_sin(rotary, ids, rows);
          rotate(rows, read, q.view(), k.view(), 3);
          rotate(rows, read, q.view(), 3, direction::inverse);
        }) == 0);
  const auto x = q.view();
  const auto y = k.view();
  STATIC_REQUIRE(noexcept(rotate(unchecked, rotary, x, y, positions())));
  STATIC_REQUIRE(noexcept(rotate(unchecked, rotary, x, positions())));
  STATIC_REQUIRE(noexcept(rotate(unchecked, rotary, x, real_positions())));
  STATIC_REQUIRE(noexcept(unrotate(unchecked, rotary, x, positions())));
  STATIC_REQUIRE(noexcept(shift(unchecked, rotary, x, positions())));
  STATIC_REQUIRE(noexcept(rotate(unchecked, rows, read, x)));
}

TEMPLATE_TEST_CASE("no_allocation: rotations into caches of all types, scaled or not, and in them", "[no_allocation]",
                   float, double, bf16, f16) {
  random_values random(2);
  const rope rotary(GENERATE(pairing::half, pairing::interleaved), default_frequencies({.head_dim = 32}), 3);
  const rope other(rotary.layout(), default_frequencies({.head_dim = 32, .rope_theta = 5e5}), 3);
  const rope change = rerotation(rotary, other);
  owned_heads<float> k(random, num_tokens, num_kv_heads, head_dim);
  owned_heads<TestType> cache(num_tokens, num_kv_heads, head_dim);
  std::vector<std::int8_t> memory(num_tokens * num_kv_heads * head_dim);
  std::vector<float> scales(num_tokens * num_kv_heads);
  const quantized_view<std::int8_t> q(memory.data(), scales.data(), num_tokens, num_kv_heads, head_dim);
  std::vector<float> table(num_tokens * 32);
  const cos_sin_rows<float> rows(table.data(), table.data() + 16, num_tokens, 16, 32);
  const positions at(1000, num_tokens);
  CHECK(allocations_of([&] {
          rotate_to(rotary, k.view(), cache.view(), at, 0.5);
          rotate_to(rows, rotary.layout(), k.view(), cache.view(), {.first_column = 3});
          unrotate_to(rotary, cache.view(), k.view(), at);
          rotate_scaled(rotary, cache.view(), 0.5, at);
          rotate(change, cache.view(), at);
          rotate_to(rotary, cache.view(), q, at);
          rotate_to(rows, rotary.layout(), cache.view(), q, {.first_column = 3});
          shift(rotary, q, at);
          rotate(change, q, at);
          quantize(cache.view(), q);
          dequantize(q, cache.view());
        }) == 0);
  const auto from = k.view();
  const auto to = cache.view();
  STATIC_REQUIRE(noexcept(rotate_to(unchecked, rotary, from, to, at)));
  STATIC_REQUIRE(noexcept(rotate_to(unchecked, rows, pairing::half, from, to)));
  STATIC_REQUIRE(noexcept(unrotate_to(unchecked, rotary, from, to, at)));
  STATIC_REQUIRE(noexcept(rotate_scaled(unchecked, rotary, to, 0.5, at)));
  STATIC_REQUIRE(noexcept(rotate_to(unchecked, rotary, to, q, at)));
  STATIC_REQUIRE(noexcept(rotate_to(unchecked, rows, pairing::half, to, q)));
  STATIC_REQUIRE(noexcept(rotate(unchecked, rotary, q, at)));
  STATIC_REQUIRE(noexcept(shift(unchecked, rotary, q, at)));
  STATIC_REQUIRE(noexcept(quantize(unchecked, to, q)));
  STATIC_REQUIRE(noexcept(dequantize(unchecked, q, to)));
  STATIC_REQUIRE(noexcept(kernels::quantize_rows(to.data, 0, 0, 0, memory.data(), 0, scales.data())));
  STATIC_REQUIRE(noexcept(kernels::quantize_tensor(to.data, 0, 0, 0, memory.data(), 0)));
  STATIC_REQUIRE(noexcept(kernels::dequantize_rows(memory.data(), 0, scales.data(), 0, 0, 0, to.data, 0)));
}

TEMPLATE_TEST_CASE("no_allocation: sums with embeddings", "[no_allocation]", float, double, bf16, f16) {
  random_values random(3);
  const sinusoidal encoding({.dim = 40});
  auto memory = random.list<TestType>(num_tokens * 40);
  const token_view<TestType> x(memory.data(), num_tokens, 40);
  CHECK(allocations_of([&] { add_to(encoding, x, positions(3, num_tokens)); }) == 0);
  STATIC_REQUIRE(noexcept(add_to(unchecked, encoding, x, positions())));
}

TEMPLATE_TEST_CASE("no_allocation: attention over a cache, with workspace and without", "[no_allocation]", float,
                   bf16) {
  random_values random(4);
  owned_heads<TestType> q(random, 5, num_heads, head_dim);
  const owned_heads<TestType> k(random, num_tokens, num_kv_heads, head_dim),
      v(random, num_tokens, num_kv_heads, head_dim);
  owned_heads<float> out(5, num_heads, head_dim);
  const alibi<float> encoding(num_heads);
  std::vector<float> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), encoding)));
  attend_options<float> options{.band = causal()};
  CHECK(allocations_of([&] {
          attend(q.view(), k.view(), v.view(), out.view(), encoding, options);
          options.run.workspace = workspace;
          attend(q.view(), k.view(), v.view(), out.view(), encoding, options);
          attend(q.view(), k.view(), v.view(), out.view(), no_encoding{}, options);
        }) == 0);
  const auto queries = q.view();
  const auto keys = k.view();
  const auto values = v.view();
  const auto to = out.view();
  STATIC_REQUIRE(noexcept(attend(unchecked, queries, keys, values, to, encoding, options)));
}
