// How often memory was allocated in this process so far.
#pragma once

#include <cstddef>

std::size_t allocation_count() noexcept;
