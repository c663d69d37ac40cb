// The nonlinearities of feed-forward blocks, by the names that configurations give them.
#pragma once

#include "matrix.hpp"

#include <string_view>

namespace engine {

/// Applied to every element, in place.
using activation = void (*)(matrix& x);

/// "gelu", "gelu_new", "silu", ...; null if the name is unknown.
activation find_activation(std::string_view name);

}  // namespace engine
