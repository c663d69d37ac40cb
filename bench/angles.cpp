// What does an angle cost, and how exact is it at position p?
//
// Cost: a table of cosines and sines against filling as much memory (`of_memset`), and scattered positions against the
// same angles through other libraries, which are given them ready-made in float or double. Exactness: rows that print
// the largest error of 64 pairs of base 10000, in units in the last place and in radians, at positions around p.
#include "beside.hpp"
#include "memory.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#if defined(POSENC_BENCH_SLEEF)
#include <sleef.h>
#endif

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t num_pairs = 64;

frequencies plain() { return default_frequencies({.head_dim = 2 * num_pairs}); }

// ---- Cost ----

/// Room for the rows of so many positions.
struct table {
  pages<float> cos, sin;
  index_t num_positions;

  explicit table(index_t n) : cos(n * num_pairs), sin(n * num_pairs), num_positions(n) {}
  cos_sin_rows<float> rows() const { return {cos.data(), sin.data(), num_positions, num_pairs}; }
  double values() const { return 2.0 * static_cast<double>(num_positions * num_pairs); }
};

void table_of_consecutive_positions(benchmark::State& state) {
  const rope rotary(pairing::half, plain());
  const table x(state.range(0));
  beside(state,
         work{x.values() * sizeof(float), [&] { fill_cos_sin(rotary, positions(0, x.num_positions), x.rows()); }},
         "memset", work{x.values() * sizeof(float), [&] {
                          for (const pages<float>* half : {&x.cos, &x.sin})
                            std::memset(half->data(), 0, half->size() * sizeof(float));
                        }});
}
BENCHMARK(table_of_consecutive_positions)->ArgName("positions")->Arg(1024)->Arg(131072)->UseManualTime();

/// The angles of scattered positions, for libraries that know no frequencies. Small enough to stay in L2.
struct scattered {
  std::vector<position_t> ids;
  std::vector<float> angles;
  std::vector<double> exact;
  table out;

  scattered() : ids(256), out(std::ssize(ids)) {
    std::mt19937 random(1);
    std::uniform_int_distribution<position_t> any(0, 131071);
    for (position_t& id : ids) id = any(random);
    for (const position_t id : ids) {
      for (index_t i = 0; i < num_pairs; ++i) {
        exact.push_back(id * std::pow(10000.0, -static_cast<double>(i) / num_pairs));
        angles.push_back(static_cast<float>(exact.back()));
      }
    }
  }
};

/// A library is believed once it agrees with the cosine and sine of the same angle in double.
template <class T>
bool agrees(const std::vector<T>& angles, const T* cos, const T* sin) {
  for (std::size_t i = 0; i < angles.size(); ++i) {
    const auto angle = static_cast<double>(angles[i]);
    if (std::abs(std::cos(angle) - static_cast<double>(cos[i])) > 1e-6) return false;
    if (std::abs(std::sin(angle) - static_cast<double>(sin[i])) > 1e-6) return false;
  }
  return true;
}

template <class T, class Peer>
void beside_peer(benchmark::State& state, const char* name, const scattered& x, const std::vector<T>& angles,
                 Peer peer) {
  const rope rotary(pairing::half, plain());
  std::vector<T> cos(angles.size()), sin(angles.size());
  const auto run = [&] { peer(angles.data(), cos.data(), sin.data(), angles.size()); };
  run();
  if (!agrees(angles, cos.data(), sin.data())) return state.SkipWithError("the peer's values are wrong");
  beside(state, work{x.out.values(), [&] { fill_cos_sin(rotary, positions(x.ids), x.out.rows()); }}, name,
         work{x.out.values(), run});
}

template <class T>
void one_by_one(const T* x, T* cos, T* sin, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    cos[i] = std::cos(x[i]);
    sin[i] = std::sin(x[i]);
  }
}
template <class T>
void by_eigen(const T* x, T* cos, T* sin, std::size_t count) {
  using array = Eigen::Array<T, Eigen::Dynamic, 1>;
  const Eigen::Map<const array> angles(x, static_cast<Eigen::Index>(count));
  Eigen::Map<array>(cos, angles.size()) = angles.cos();
  Eigen::Map<array>(sin, angles.size()) = angles.sin();
}

void scattered_beside_libm_f32(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "libm_f32", x, x.angles, one_by_one<float>);
}
void scattered_beside_eigen_f32(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "eigen_f32", x, x.angles, by_eigen<float>);
}
void scattered_beside_eigen_f64(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "eigen_f64", x, x.exact, by_eigen<double>);
}
BENCHMARK(scattered_beside_libm_f32)->UseManualTime();
BENCHMARK(scattered_beside_eigen_f32)->UseManualTime();
BENCHMARK(scattered_beside_eigen_f64)->UseManualTime();

// Peers by vectors as wide as the machine's: the same instruction set for all.
#if defined(__AVX512F__)
constexpr std::size_t peer_bytes = 64;
#define POSENC_BENCH_WIDE(narrow, wide) wide
#elif defined(__AVX2__)
constexpr std::size_t peer_bytes = 32;
#define POSENC_BENCH_WIDE(narrow, wide) narrow
#endif

#if defined(POSENC_BENCH_WIDE)
using floats = float __attribute__((vector_size(peer_bytes)));
using doubles = double __attribute__((vector_size(peer_bytes)));

/// Calls f(vector, cosines, sines) for a vector after the other.
template <class V, class T, class F>
void by_vectors(const T* x, T* cos, T* sin, std::size_t count, F f) {
  for (std::size_t i = 0; i < count; i += sizeof(V) / sizeof(T)) {
    V v, c, s;
    std::memcpy(&v, x + i, sizeof v);
    f(v, c, s);
    std::memcpy(cos + i, &c, sizeof c);
    std::memcpy(sin + i, &s, sizeof s);
  }
}
#endif

#if defined(POSENC_BENCH_LIBMVEC) && defined(POSENC_BENCH_WIDE)
// glibc's vector functions, by the names of the vector ABI.
extern "C" {
floats POSENC_BENCH_WIDE(_ZGVdN8v_cosf, _ZGVeN16v_cosf)(floats);
floats POSENC_BENCH_WIDE(_ZGVdN8v_sinf, _ZGVeN16v_sinf)(floats);
doubles POSENC_BENCH_WIDE(_ZGVdN4v_cos, _ZGVeN8v_cos)(doubles);
doubles POSENC_BENCH_WIDE(_ZGVdN4v_sin, _ZGVeN8v_sin)(doubles);
}

void scattered_beside_libmvec_f32(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "libmvec_f32", x, x.angles, [](const float* in, float* cos, float* sin, std::size_t count) {
    by_vectors<floats>(in, cos, sin, count, [](floats v, floats& c, floats& s) {
      c = POSENC_BENCH_WIDE(_ZGVdN8v_cosf, _ZGVeN16v_cosf)(v);
      s = POSENC_BENCH_WIDE(_ZGVdN8v_sinf, _ZGVeN16v_sinf)(v);
    });
  });
}
void scattered_beside_libmvec_f64(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "libmvec_f64", x, x.exact, [](const double* in, double* cos, double* sin, std::size_t count) {
    by_vectors<doubles>(in, cos, sin, count, [](doubles v, doubles& c, doubles& s) {
      c = POSENC_BENCH_WIDE(_ZGVdN4v_cos, _ZGVeN8v_cos)(v);
      s = POSENC_BENCH_WIDE(_ZGVdN4v_sin, _ZGVeN8v_sin)(v);
    });
  });
}
BENCHMARK(scattered_beside_libmvec_f32)->UseManualTime();
BENCHMARK(scattered_beside_libmvec_f64)->UseManualTime();
#endif

#if defined(POSENC_BENCH_SLEEF) && defined(POSENC_BENCH_WIDE)
void scattered_beside_sleef_f32(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "sleef_u35_f32", x, x.angles, [](const float* in, float* cos, float* sin, std::size_t count) {
    by_vectors<floats>(in, cos, sin, count, [](floats v, floats& c, floats& s) {
      const auto both = POSENC_BENCH_WIDE(Sleef_sincosf8_u35avx2((__m256)v), Sleef_sincosf16_u35avx512f((__m512)v));
      s = (floats)both.x;
      c = (floats)both.y;
    });
  });
}
void scattered_beside_sleef_f64(benchmark::State& state) {
  const scattered x;
  beside_peer(state, "sleef_u35_f64", x, x.exact, [](const double* in, double* cos, double* sin, std::size_t count) {
    by_vectors<doubles>(in, cos, sin, count, [](doubles v, doubles& c, doubles& s) {
      const auto both = POSENC_BENCH_WIDE(Sleef_sincosd4_u35avx2((__m256d)v), Sleef_sincosd8_u35avx512f((__m512d)v));
      s = (doubles)both.x;
      c = (doubles)both.y;
    });
  });
}
BENCHMARK(scattered_beside_sleef_f32)->UseManualTime();
BENCHMARK(scattered_beside_sleef_f64)->UseManualTime();
#endif

// ---- Exactness ----

/// The largest error over some positions from p on, in ulp of the cosine or sine and in radians of the angle.
template <class CosSin>
void print_errors(benchmark::State& state, CosSin cos_sin_of) {
  const auto first = static_cast<position_t>(state.range(0));
  double ulp = 0, radians = 0;
  for (auto _ : state) {
    for (position_t p = first; p < first + 64; ++p) {
      for (index_t i = 0; i < num_pairs; ++i) {
        const long double angle =
            p * std::pow(10000.0L, -static_cast<long double>(i) / static_cast<long double>(num_pairs));
        const auto [cos, sin] = cos_sin_of(p, i);
        const long double exact[] = {std::cos(angle), std::sin(angle)};
        const float is[] = {cos, sin};
        for (int k = 0; k < 2; ++k) {
          const auto error = static_cast<double>(std::abs(static_cast<long double>(is[k]) - exact[k]));
          if (std::abs(exact[k]) < 0.125L) continue;  // far out a long double knows small ones no better
          const double unit = std::ldexp(1.0, std::ilogb(static_cast<double>(exact[k])) - 23);
          ulp = std::max(ulp, error / unit);
        }
        const long double turned =
            std::atan2(static_cast<long double>(sin) * exact[0] - cos * exact[1], cos * exact[0] + sin * exact[1]);
        radians = std::max(radians, static_cast<double>(std::abs(turned)));
      }
    }
    state.SetIterationTime(1e-3);
  }
  state.counters["ulp"] = ulp;
  state.counters["radians"] = radians;
}

struct pair_of_floats {
  float cos, sin;
};
pair_of_floats by_posenc(const frequencies& list, position_t p, index_t i) {
  pair_of_floats out{};
  cos_sin(list, &p, i, 1, &out.cos, &out.sin);
  return out;
}

void error_of_posenc(benchmark::State& state) {
  const frequencies list = plain();
  print_errors(state, [&](position_t p, index_t i) { return by_posenc(list, p, i); });
}
void error_of_posenc_with_float32_angles(benchmark::State& state) {
  const frequencies list = plain().with_float32_angles();
  print_errors(state, [&](position_t p, index_t i) { return by_posenc(list, p, i); });
}
// What public implementations do: a frequency in float, times a position in float, then the library's cosine.
void error_of_float32(benchmark::State& state) {
  std::vector<float> inv_freq;
  for (index_t i = 0; i < num_pairs; ++i)
    inv_freq.push_back(1.0F / std::pow(10000.0F, static_cast<float>(2 * i) / static_cast<float>(2 * num_pairs)));
  print_errors(state, [&](position_t p, index_t i) {
    const float angle = static_cast<float>(p) * inv_freq[static_cast<std::size_t>(i)];
    return pair_of_floats{std::cos(angle), std::sin(angle)};
  });
}

void far_and_near(registered_row* row) {
  row->ArgName("position")->UseManualTime()->Iterations(1);
  for (const std::int64_t p : {100L, 1000L, 10000L, 131072L, 1000000L, 100000000L, 2147483000L}) row->Arg(p);
}
BENCHMARK(error_of_posenc)->Apply(far_and_near);
BENCHMARK(error_of_posenc_with_float32_angles)->Apply(far_and_near);
BENCHMARK(error_of_float32)->Apply(far_and_near);

}  // namespace
}  // namespace posenc_bench
