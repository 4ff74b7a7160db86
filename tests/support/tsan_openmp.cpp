// tests/support/tsan_openmp.cpp — tells ThreadSanitizer what libgomp synchronises: it is not instrumented, and its barriers
// are futexes that the sanitizer does not see, so that every parallel loop would look like a race.
//
// Linked into the tests of the tsan preset only. The calls that the compiler makes for `#pragma omp parallel for` and
// `#pragma omp critical` (engine/parallel.h has the only ones) arrive here first: what the caller did happens before the body,
// and every body before the caller goes on. Nothing is said about two bodies of one loop: races between them are found.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

extern "C" {

using Body = void (*)(void*);

static void* next(const char* name) { return dlsym(RTLD_NEXT, name); }

struct Loop {
  Body body;
  void* data;
  char begun, ended;  // addresses that stand for the two moments
};

static void run(void* p) {
  Loop& loop = *static_cast<Loop*>(p);
  __tsan_acquire(&loop.begun);
  loop.body(loop.data);
  __tsan_release(&loop.ended);
}

void GOMP_parallel(Body body, void* data, unsigned threads, unsigned flags) {
  static const auto real = reinterpret_cast<void (*)(Body, void*, unsigned, unsigned)>(next("GOMP_parallel"));
  Loop loop{body, data, 0, 0};
  __tsan_release(&loop.begun);
  real(run, &loop, threads, flags);
  __tsan_acquire(&loop.ended);
}

void GOMP_critical_name_start(void** name) {
  static const auto real = reinterpret_cast<void (*)(void**)>(next("GOMP_critical_name_start"));
  real(name);
  __tsan_acquire(name);
}

void GOMP_critical_name_end(void** name) {
  static const auto real = reinterpret_cast<void (*)(void**)>(next("GOMP_critical_name_end"));
  __tsan_release(name);
  real(name);
}

}  // extern "C"
