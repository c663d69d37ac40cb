// An operator new that counts, for the whole executable. In a file of its own: inlined, GCC takes free() for a mismatch.
#include "allocation_count.hpp"

#include "../catch.hpp"

#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

namespace {
std::atomic<std::size_t> allocations = 0;
}

std::size_t allocation_count() noexcept { return allocations; }

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

TEST_CASE("interface: allocations are counted", "[interface]") {
  const std::size_t before = allocation_count();
  std::vector<int> x(3);
  x.resize(10000);
  CHECK(allocation_count() == before + 2);
}
