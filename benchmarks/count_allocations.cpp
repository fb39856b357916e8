// Preloaded into a program: counts what each of its threads allocates, and says so at its end on standard
// error.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <sys/prctl.h>

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
}

namespace {

struct counts {
  char name[16];
  std::atomic<unsigned long> calls, bytes;
};

constexpr int most_threads = 1024;
counts threads[most_threads];
std::atomic<int> used = 0;
__thread counts* own __attribute__((tls_model("initial-exec"))) = nullptr;

void count(std::size_t size) {
  if (!own) own = &threads[used.fetch_add(1) % most_threads];
  // Threads are named after they have begun.
  if (own->calls % 1024 == 0) prctl(PR_GET_NAME, own->name);
  own->calls.fetch_add(1, std::memory_order_relaxed);
  own->bytes.fetch_add(size, std::memory_order_relaxed);
}

__attribute__((destructor)) void report() {
  for (int i = 0; i < used && i < most_threads; ++i)
    std::fprintf(stderr, "allocations %-16s %12lu %15lu bytes\n", threads[i].name, threads[i].calls.load(),
                 threads[i].bytes.load());
}

} // namespace

extern "C" {
void* malloc(std::size_t size) {
  count(size);
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  count(n * size);
  return __libc_calloc(n, size);
}
void* realloc(void* old, std::size_t size) {
  count(size);
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  count(size);
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** to, std::size_t alignment, std::size_t size) {
  *to = memalign(alignment, size);
  return *to ? 0 : ENOMEM;
}
}
