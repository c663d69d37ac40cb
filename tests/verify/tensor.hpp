// A tensor of a reference file: element type, shape, and values widened to double, which is exact for all types.
#pragma once

#include <posenc/positions.hpp>
#include <posenc/scalar.hpp>

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace verify {

using posenc::index_t;
using posenc::position_t;

struct tensor {
  std::string dtype;           // as spelled by safetensors: F64 F32 F16 BF16 I64 BOOL ...
  std::vector<index_t> shape;  // outermost first
  std::vector<double> values;  // dense, row-major

  index_t rank() const { return std::ssize(shape); }
  index_t size() const { return std::ssize(values); }
  /// The extent of an axis; negative axes count from the last one.
  index_t dim(index_t axis) const;
  bool is_integer() const { return dtype[0] == 'I' || dtype[0] == 'U' || dtype == "BOOL"; }
};

using tensors = std::map<std::string, tensor>;

/// All tensors of a .safetensors file. Throws std::runtime_error naming the file and what is wrong with it.
tensors read_tensors(const std::filesystem::path& file);

/// The number of elements of a shape.
index_t volume(const std::vector<index_t>& shape);

/// "2x3x5".
std::string shape_text(const std::vector<index_t>& shape);

/// Values as elements of type S, rounded once.
template <posenc::scalar S>
std::vector<S> values_as(const tensor& x) {
  std::vector<S> values;
  values.reserve(x.values.size());
  for (const double value : x.values) values.push_back(posenc::narrow<S>(value));
  return values;
}

/// Integer values as positions. Throws if one is not a 32-bit integer.
std::vector<position_t> ids_of(const tensor& x);

}  // namespace verify
