#include <algorithm>

#include "cuda/device/launch.h"
#include "cuda/pack.h"

namespace tamis::cuda {
namespace {

constexpr int kChunk = 8;  // elements of 16 bytes
constexpr int kThreads = 256;

int64_t chunks(int64_t dim) { return (dim + kChunk - 1) / kChunk; }

bool ready(const HalfRows& rows) {
  return rows.dim % kChunk == 0 && reinterpret_cast<uintptr_t>(rows.data) % 16 == 0;
}

// One chunk a thread. from: [n_rows x dim]; to: [n_rows x n_chunks]
__global__ void __launch_bounds__(kThreads)
    pack(const uint16_t* from, int64_t n_rows, int64_t dim, int64_t n_chunks, uint4* to) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < n_rows * n_chunks; i += stride) {
    const int64_t row = i / n_chunks, first = i % n_chunks * kChunk;
    unsigned words[kChunk / 2] = {};
#pragma unroll
    for (int e = 0; e < kChunk; ++e) {
      if (first + e < dim) {
        words[e / 2] |= static_cast<unsigned>(from[row * dim + first + e]) << (e % 2 * 16);
      }
    }
    to[i] = make_uint4(words[0], words[1], words[2], words[3]);
  }
}

}  // namespace

size_t packed_bytes(const HalfRows& rows) {
  return ready(rows) ? 0 : static_cast<size_t>(rows.n_rows * chunks(rows.dim)) * 16;
}

HalfRows packed(const HalfRows& rows, void* work, Stream stream) {
  if (ready(rows)) return rows;
  const int64_t n_chunks = chunks(rows.dim);
  const int64_t blocks = (rows.n_rows * n_chunks + kThreads - 1) / kThreads;
  launch(pack, Grid{std::min<int64_t>(blocks, 1 << 20)}, kThreads, 0, stream, rows.data,
         rows.n_rows, rows.dim, n_chunks, static_cast<uint4*>(work));
  return {static_cast<const uint16_t*>(work), rows.n_rows, n_chunks * kChunk};
}

}  // namespace tamis::cuda
