// SHA-256, to verify that a weights file is the one that the goldens were made from.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace verify {

/// 64 lower-case hexadecimal digits. Source: FIPS 180-4, section 6.2.
std::string sha256(std::span<const std::byte> bytes);

}  // namespace verify
