#include "version.hpp"

#include <posenc/version.hpp>

namespace posenc_bench {

std::string version() {
  const std::string commit = POSENC_BENCH_COMMIT;
  return std::to_string(POSENC_VERSION_MAJOR) + "." + std::to_string(POSENC_VERSION_MINOR) + "." +
         std::to_string(POSENC_VERSION_PATCH) + (commit.empty() ? "" : ", commit " + commit);
}

}  // namespace posenc_bench
