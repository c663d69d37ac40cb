// How near is attention to the arithmetic unit's peak?
//
// Flops count the pairs that the mask lets through, and no exponential. `of_peak` is their share of float multiply-adds
// in registers, which AMX can pass, and bf16 in pairs. `of_matrix_peak`, where attention is by AMX: the share of bf16
// multiply-adds in its registers that the products of these flops make up, which number one of bf16, three of float and
// bf16, four of f16 and six of float. (What is multiplied besides, masked pairs of a tile and columns of zeros, is
// lost.)
#include "attention_call.hpp"
#include "beside.hpp"

namespace posenc_bench {
namespace {

using namespace posenc;

template <class S, class C = S>
void beside_peak(benchmark::State& state, const attention_sizes& sizes, const index_band& band) {
  attention_call<S, C> call(sizes);
  beside_peaks(state, work{call.flops(band), [&] { call(no_encoding{}, {.band = band}); }}, products_of_bf16<C, S>);
}

index_band band_of(const benchmark::State& state, int argument) {
  return state.range(argument) != 0 ? causal() : index_band{};
}

template <class S, class C = S>
void attention(benchmark::State& state) {
  beside_peak<S, C>(state, {.num_queries = state.range(0), .num_keys = state.range(0), .head_dim = state.range(1)},
                    band_of(state, 2));
}
const std::vector<std::string> names{"tokens", "head_dim", "causal"};
BENCHMARK_TEMPLATE(attention, float)
    ->ArgNames(names)
    ->ArgsProduct({{512, 2048, 8192}, {64, 128}, {0, 1}})
    ->ArgsProduct({{2048}, {80, 96, 256}, {1}})
    ->ArgsProduct({{2047}, {64, 128}, {1}})
    ->UseManualTime();
BENCHMARK_TEMPLATE(attention, bf16)->ArgNames(names)->ArgsProduct({{2048}, {64, 128}, {0, 1}})->UseManualTime();
BENCHMARK_TEMPLATE(attention, f16)->ArgNames(names)->ArgsProduct({{2048}, {64, 128}, {1}})->UseManualTime();
BENCHMARK_TEMPLATE(attention, float, bf16)->ArgNames(names)->ArgsProduct({{2048}, {64, 128}, {1}})->UseManualTime();

// Query heads that share keys, in the two layouts that engines use.
void attention_of_heads(benchmark::State& state) {
  beside_peak<float>(state,
                     {.head_dim = state.range(2),
                      .num_heads = state.range(0),
                      .num_kv_heads = state.range(1),
                      .by_token = state.range(3) != 0},
                     causal());
}
BENCHMARK(attention_of_heads)
    ->ArgNames({"heads", "kv_heads", "head_dim", "by_token"})
    ->ArgsProduct({{12}, {3}, {64, 128}, {0}})
    ->ArgsProduct({{32}, {8}, {64, 128}, {0, 1}})
    ->UseManualTime();

}  // namespace
}  // namespace posenc_bench
