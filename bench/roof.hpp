// The limit of whatever reads and writes each element once: memory, measured over the same bytes in the same run.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace posenc_bench {

/// Sizes in bytes that lie in L1, L2, L3 and, on most machines, in none of them.
inline void cache_levels(benchmark::internal::Benchmark* row) {
  row->ArgName("bytes")->Arg(1 << 14)->Arg(1 << 18)->Arg(1 << 22)->Arg(1 << 28);
}

/// Reports bytes/s; `bytes` are those read plus those written in one iteration.
inline void count_bytes(benchmark::State& state, std::int64_t bytes) {
  state.SetBytesProcessed(state.iterations() * bytes);
}

}  // namespace posenc_bench
