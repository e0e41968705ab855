// Views on the caller's memory and the context of a call. No Python, no device headers.
#pragma once

#include <cstdint>
#include <functional>

namespace tamis {

// Rows of IEEE float16 numbers, C-contiguous. [n_rows x dim]
struct HalfRows {
  const uint16_t* data = nullptr;
  int64_t n_rows = 0;
  int64_t dim = 0;

  const uint16_t* row(int64_t i) const { return data + i * dim; }
};

// What a call may use, and how its caller can stop it.
struct Context {
  int n_threads = 1;
  // Called on the calling thread between tasks, at most every 50 ms; it stops the call by throwing.
  std::function<void()> checkpoint;
};

// What the ladder did: counts of rows and of scores, for benchmarks and tests.
struct Counts {
  int64_t rows = 0;      // searches: one per row and column chunk
  int64_t rescored = 0;  // float64 scores
  int64_t climbed = 0;   // searches that took the next rung
};

}  // namespace tamis
