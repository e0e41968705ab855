// What products of a warpgroup keep until they are over.
#pragma once

#include "later.h"
#include "sums.h"

namespace tamis::emulation {

inline constexpr int kGroupRows = 64;
inline constexpr int kMostSums = 128;  // of a thread: half of the columns

// Of one product, widened. A thread has a quarter of the columns. Columns by the lanes that own
// them: t has 8 j + 2 t and 8 j + 2 t + 1.
struct Operands {
  float a[kGroupRows][kDepth];
  float b[4][kDepth][kMostSums / 2];
  int threads = 0;  // that have used them
};

// Sums from wgmma_begin on, and the products that go into them.
struct Series {
  float* d = nullptr;
  int n_sums = 0;
  float sums[kMostSums];
  struct Product {
    int32_t number;
    uint64_t a, b;
    bool adds;
  };
  bool multiplied = false;
  std::vector<Product> products;  // that are not made
};

}  // namespace tamis::emulation
