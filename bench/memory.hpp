// Memory as engines allocate it: on a page's boundary, and filled with numbers of ordinary size.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

namespace posenc_bench {

template <class S>
class pages {
 public:
  explicit pages(posenc::index_t count)
      : size_(static_cast<std::size_t>(count)), data_(new (std::align_val_t{4096}) S[size_]) {
    std::uint32_t bits = 12345;
    for (std::size_t i = 0; i < size_; ++i) {
      bits = bits * 1664525U + 1013904223U;
      const float x = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-31F;
      if constexpr (std::is_same_v<S, std::int8_t>)
        data_[i] = static_cast<std::int8_t>(x * 127);
      else
        data_[i] = posenc::narrow<S>(x);
    }
  }
  ~pages() { ::operator delete[](data_, std::align_val_t{4096}); }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;

  std::size_t size() const { return size_; }
  posenc::index_t count() const { return static_cast<posenc::index_t>(size_); }
  double bytes() const { return static_cast<double>(size_ * sizeof(S)); }
  S* data() const { return data_; }

 private:
  std::size_t size_;
  S* data_;
};

}  // namespace posenc_bench
