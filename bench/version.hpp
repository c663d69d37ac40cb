// What a report is of.
#pragma once

#include <string>

namespace posenc_bench {

/// posenc's version, and the commit as CMake last saw it, if it was in a repository.
std::string version();

}  // namespace posenc_bench
