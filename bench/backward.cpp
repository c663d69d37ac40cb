// How far are the gradients of attention from the peak of multiply-adds, and what do those of a bias add?
//
// 10 head_dim flops a pair that the mask lets through: five products. `of_peak` and `of_matrix_peak` as in
// attention.cpp: by AMX each product is six of bf16. `of_none`: gradients through attention without an encoding, over
// gradients through one; `of_fixed`: those that leave the bias's parameters alone, over those of all.
#include "attention_call.hpp"
#include "beside.hpp"
#include "memory.hpp"

#include <posenc/attention/backward.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/t5_bias.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

struct sizes {
  index_t num_tokens = 2048;
  index_t head_dim = 64;
  bool is_causal = false;
  index_t num_heads = 1;
  index_t num_kv_heads = 1;
  bool by_token = false;  // memory [token, head, dim]; else [head, token, dim]

  double flops() const {
    const auto n = static_cast<double>(num_tokens);
    const double pairs = is_causal ? n * (n + 1) / 2 : n * n;
    return 10.0 * static_cast<double>(head_dim * num_heads) * pairs;
  }
};

template <class E>
class call {
 public:
  call(const sizes& s, const E& e, bool trains = false)
      : of_(s),
        encoding_(e),
        trains_(trains),
        q_(s.num_tokens * s.num_heads * s.head_dim),
        k_(s.num_tokens * s.num_kv_heads * s.head_dim),
        v_(s.num_tokens * s.num_kv_heads * s.head_dim),
        out_(q_.count()),
        d_out_(q_.count()),
        dq_(q_.count()),
        dk_(k_.count()),
        dv_(v_.count()),
        lse_(static_cast<std::size_t>(s.num_tokens * s.num_heads), 10.0F),
        parameters_(static_cast<std::size_t>(hooks::num_parameters(encoding_))) {
    if (s.is_causal) options.band = causal();
  }

  attend_options<float> options{};

  double flops() const { return of_.flops(); }
  void operator()() {
    options.lse = {lse_.data(), of_.num_tokens, of_.num_heads};
    workspace_.resize(
        static_cast<std::size_t>(backward_workspace_size(view(q_), view(k_), view(v_), encoding_, options)));
    options.run.workspace = workspace_;
    attend_gradients<float> gradients{view(dq_), view(dk_), view(dv_)};
    if (trains_) gradients.parameters = parameters_;
    attend_backward(view(q_), view(k_), view(v_), view(out_), view(d_out_), gradients, encoding_, options);
  }

 private:
  head_view<float> view(const pages<float>& x) const {
    const index_t heads = x.count() / (of_.num_tokens * of_.head_dim);
    if (of_.by_token) return {x.data(), of_.num_tokens, heads, of_.head_dim};
    return head_major(x.data(), heads, of_.num_tokens, of_.head_dim);
  }

  sizes of_;
  E encoding_;
  bool trains_;
  pages<float> q_, k_, v_, out_, d_out_, dq_, dk_, dv_;
  std::vector<float> lse_, parameters_, workspace_{};
};

template <class E>
void beside_peak(benchmark::State& state, call<E>& c) {
  beside_peaks(state, work{c.flops(), [&] { c(); }}, products_of_bf16<float, float>);
}

sizes sizes_of(const benchmark::State& state) {
  return {.num_tokens = state.range(0), .head_dim = state.range(1), .is_causal = state.range(2) != 0};
}
const std::vector<std::string> names{"tokens", "head_dim", "causal"};

void backward(benchmark::State& state) {
  call<no_encoding> c(sizes_of(state), {});
  beside_peak(state, c);
}
BENCHMARK(backward)
    ->ArgNames(names)
    ->ArgsProduct({{512, 2048}, {64, 128}, {0, 1}})
    ->ArgsProduct({{2047}, {80, 256}, {1}})
    ->UseManualTime();

void backward_of_heads(benchmark::State& state) {
  call<no_encoding> c({.head_dim = state.range(0),
                       .is_causal = true,
                       .num_heads = 8,
                       .num_kv_heads = 2,
                       .by_token = state.range(1) != 0},
                      {});
  beside_peak(state, c);
}
BENCHMARK(backward_of_heads)->ArgNames({"head_dim", "by_token"})->ArgsProduct({{64, 128}, {0, 1}})->UseManualTime();

void backward_with_softcap(benchmark::State& state) {
  call<no_encoding> c({.head_dim = 128, .is_causal = true}, {});
  c.options.softcap = 50;
  beside_peak(state, c);
}
BENCHMARK(backward_with_softcap)->UseManualTime();

// ---- What an encoding and its gradients add ----

template <class E>
void backward_through(benchmark::State& state, const E& encoding) {
  const sizes s{.head_dim = 128, .is_causal = true};
  call<no_encoding> none(s, {});
  call<E> trained(s, encoding, true);
  beside(state, work{s.flops(), [&] { trained(); }}, "none", work{s.flops(), [&] { none(); }});
}
template <class E>
void gradients_of(benchmark::State& state, const E& encoding) {
  const sizes s{.head_dim = 128, .is_causal = true};
  call<E> fixed(s, encoding), trained(s, encoding, true);
  beside(state, work{s.flops(), [&] { trained(); }}, "fixed", work{s.flops(), [&] { fixed(); }});
}

const alibi<float> slopes(std::vector<float>{0.1F});
const t5_bias<float> buckets(std::vector<float>(32, 0.1F));
const std::vector<float> one_rate{0.3F};
const kerple<float> logarithmic(kerple_kernel::log, one_rate, one_rate);
const cope<float> counted(std::vector<float>(64 * 128, 0.01F), 128);

BENCHMARK_CAPTURE(backward_through, alibi, slopes)->UseManualTime();
BENCHMARK_CAPTURE(backward_through, t5_bias, buckets)->UseManualTime();
BENCHMARK_CAPTURE(backward_through, kerple, logarithmic)->UseManualTime();
BENCHMARK_CAPTURE(backward_through, cope, counted)->UseManualTime();
BENCHMARK_CAPTURE(gradients_of, alibi, slopes)->UseManualTime();
BENCHMARK_CAPTURE(gradients_of, t5_bias, buckets)->UseManualTime();
BENCHMARK_CAPTURE(gradients_of, kerple, logarithmic)->UseManualTime();

}  // namespace
}  // namespace posenc_bench
