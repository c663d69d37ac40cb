#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace engine {

namespace {

// Closes the descriptor on every path; the mapping outlives it.
struct descriptor {
  int value;
  ~descriptor() {
    if (value >= 0) ::close(value);
  }
};

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(path + ": " + what + ": " + std::generic_category().message(errno));
}

}  // namespace

mapped_file::mapped_file(const std::filesystem::path& path) : name_(path.filename().string()) {
  const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) fail(path.string(), "cannot be opened");
  struct stat status = {};
  if (::fstat(file.value, &status) != 0) fail(path.string(), "cannot be inspected");
  if (!S_ISREG(status.st_mode)) throw std::runtime_error(path.string() + ": is not a regular file");
  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // mmap refuses to map nothing
  void* const mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (mapping == MAP_FAILED) fail(path.string(), "cannot be mapped");
  data_ = static_cast<const std::byte*>(mapping);
}

mapped_file::mapped_file(mapped_file&& other) noexcept
    : name_(std::move(other.name_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
  std::swap(name_, other.name_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace engine
