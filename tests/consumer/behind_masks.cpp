// Keys and values that a query does not see stay out of its results and gradients, whatever they are. The unit tests
// hold that without fast math; this is for units compiled with it.
#include "wave.hpp"

#include <posenc/posenc.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

/// By its bits, because fast math takes everything for a number.
static bool is_number(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7f800000U) != 0x7f800000U;
}

static bool are_close(const std::vector<float>& seen, const std::vector<float>& expected) {
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (!is_number(seen[i]) || std::abs(seen[i] - expected[i]) > 1e-5F) return false;
  }
  return true;
}

/// The last tokens of a sequence as queries, none of which may see every ninth key.
struct masked_call {
  static constexpr posenc::index_t num_heads = 4, num_kv_heads = 2, head_dim = 8;

  posenc::index_t num_queries, num_keys;
  double softcap;
  std::vector<float> q = wave(num_queries * num_heads * head_dim, 0.7);
  std::vector<float> k = wave(num_keys * num_kv_heads * head_dim, 0.3);
  std::vector<float> v = wave(num_keys * num_kv_heads * head_dim, 0.2);
  std::vector<float> lse = std::vector<float>(static_cast<std::size_t>(num_queries * num_heads));
  std::vector<float> out = std::vector<float>(q.size());
  std::vector<float> gradients_of_queries{}, gradients_of_keys{}, gradients_of_values{};

  static bool hides(posenc::index_t token) { return token % 9 == 4; }

  static void fill(std::vector<float>& rows, posenc::index_t token, float value) {
    std::fill_n(rows.begin() + token * num_kv_heads * head_dim, num_kv_heads * head_dim, value);
  }
  void fill_hidden(float value) {
    for (posenc::index_t t = 0; t < num_keys; ++t) {
      if (!hides(t)) continue;
      fill(k, t, value);
      fill(v, t, value);
    }
  }

  posenc::head_view<float> queries(std::vector<float>& x) const { return {x.data(), num_queries, num_heads, head_dim}; }
  posenc::head_view<float> keys(std::vector<float>& x) const { return {x.data(), num_keys, num_kv_heads, head_dim}; }

  /// Calls f with the options of all calls.
  template <class F>
  void with_options(F f) {
    const auto mask = std::make_unique<bool[]>(static_cast<std::size_t>(num_keys));
    for (posenc::index_t t = 0; t < num_keys; ++t) mask[static_cast<std::size_t>(t)] = !hides(t);
    posenc::attend_options<float> options;
    options.band = posenc::causal();
    options.softcap = softcap;
    options.lse = {lse.data(), num_queries, num_heads};
    options.more.allowed = {mask.get(), num_keys, 0, 0};
    f(options);
  }

  const std::vector<float>& forward() {
    with_options([&](const posenc::attend_options<float>& options) {
      posenc::attend(queries(q), keys(k), keys(v), queries(out), posenc::no_encoding{}, options);
    });
    return out;
  }
  /// Over keys and values of int8, all of them one, whose scales are the first columns of those of float.
  const std::vector<float>& forward_of_int8() {
    const std::vector<std::int8_t> ones(k.size(), 1);
    std::vector<float> key_scales, value_scales;
    for (std::size_t i = 0; i < k.size(); i += head_dim) {
      key_scales.push_back(k[i]);
      value_scales.push_back(v[i]);
    }
    const auto cache = [&](const std::vector<float>& scales) {
      return posenc::quantized_view<const std::int8_t>(ones.data(), scales.data(), num_keys, num_kv_heads, head_dim);
    };
    with_options([&](const posenc::attend_options<float>& options) {
      posenc::attend(queries(q), cache(key_scales), cache(value_scales), queries(out), posenc::no_encoding{}, options);
    });
    return out;
  }
  /// After `forward`, of a loss with these gradients of the output.
  void backward(std::vector<float> d_out) {
    gradients_of_queries.assign(q.size(), 0.0F);
    gradients_of_keys.assign(k.size(), 0.0F);
    gradients_of_values.assign(v.size(), 0.0F);
    with_options([&](posenc::attend_options<float>& options) {
      const posenc::no_encoding none;
      std::vector<float> workspace(
          static_cast<std::size_t>(posenc::backward_workspace_size(queries(q), keys(k), keys(v), none, options)));
      options.run.workspace = workspace;
      posenc::attend_backward(queries(q), keys(k), keys(v), queries(out), queries(d_out),
                              {queries(gradients_of_queries), keys(gradients_of_keys), keys(gradients_of_values)}, none,
                              options);
    });
  }
};

/// Says what fails, and returns how often.
static int leaks_behind_masks() {
  int leaks = 0;
  const auto expect_close = [&](std::vector<float> seen, const std::vector<float>& expected, std::size_t count,
                                const char* what, const masked_call& call, float hidden) {
    seen.resize(std::min(seen.size(), count));
    if (are_close(seen, expected)) return;
    ++leaks;
    std::printf("%s: of %td queries, soft-cap %g, hidden %g\n", what, call.num_queries, call.softcap, double{hidden});
  };
  const float not_a_number = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  constexpr auto all = std::numeric_limits<std::size_t>::max();
  for (const double softcap : {0.0, 3.0}) {
    for (const posenc::index_t num_queries : {1, 13, 40}) {
      masked_call clean{num_queries, 300, softcap};
      clean.fill_hidden(0);
      const std::vector<float> d_out(clean.out.size(), 2.0F);
      for (const float hidden : {not_a_number, infinity, 3e38F}) {
        masked_call call = clean;
        call.fill_hidden(hidden);
        expect_close(call.forward_of_int8(), clean.forward_of_int8(), all, "attend of int8", call, hidden);
        expect_close(call.forward(), clean.forward(), all, "attend", call, hidden);
        call.backward(d_out);
        clean.backward(d_out);
        expect_close(call.gradients_of_queries, clean.gradients_of_queries, all, "of queries", call, hidden);
        expect_close(call.gradients_of_keys, clean.gradients_of_keys, all, "of keys", call, hidden);
        expect_close(call.gradients_of_values, clean.gradients_of_values, all, "of values", call, hidden);

        // What the last query sees reaches no other.
        masked_call::fill(call.k, call.num_keys - 1, hidden);
        masked_call::fill(call.v, call.num_keys - 1, hidden);
        const auto others = clean.out.size() - masked_call::num_heads * masked_call::head_dim;
        expect_close(call.forward_of_int8(), clean.forward_of_int8(), others, "int8, seen by the last", call, hidden);
        expect_close(call.forward(), clean.forward(), others, "attend, seen by the last", call, hidden);
        call.backward(d_out);
        expect_close(call.gradients_of_queries, clean.gradients_of_queries, others, "of queries, seen by the last",
                     call, hidden);
      }

      // A value that it sees shows in its row.
      masked_call call = clean;
      masked_call::fill(call.v, call.num_keys - 1, not_a_number);
      for (const auto& seen : {call.forward_of_int8(), call.forward()}) {
        if (std::none_of(seen.end() - masked_call::num_heads * masked_call::head_dim, seen.end(), is_number)) continue;
        ++leaks;
        std::printf("a value that is seen is lost: of %td queries\n", num_queries);
      }
    }
  }
  return leaks;
}

int main() { return leaks_behind_masks() == 0 ? 0 : 1; }
