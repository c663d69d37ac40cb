// The encoding of a network, as a posenc value: the only place in the engine that knows which encodings there are.
#pragma once

#include "network.hpp"

#include <posenc/encodings/any.hpp>

#include <string>

namespace engine {

using encoding = posenc::any_encoding<float>;

/// For sequences of `length` tokens. A learned table is not copied: `net` must outlive the encoding.
encoding encoding_from(const network& net, index_t length);

/// In a few words, for people: "RoPE on halves, yarn".
std::string encoding_name(const model_config& config);

/// Sequences of different lengths share their encoding if this is equal.
index_t deciding_length(const model_config& config, index_t length);

}  // namespace engine
