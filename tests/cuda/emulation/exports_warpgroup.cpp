// The warpgroup mainloop by itself: all sums of rows and columns.
#include "cuda/device/launch.h"
#include "cuda/device/warpgroup_mainloop.h"
#include "cuda/tensor_map.h"
#include "exports.h"
#include "tamis/cuda/mainloop.h"

namespace {

using namespace tamis;
using namespace tamis::cuda;
using emulation::guarded;

// A walk: 128 rows of each block of a cluster, with all columns. out: [.. x n_columns], both
// rounded up to whole tiles
template <int kCluster, int kTile>
struct StoreJob {
  int row_groups, n_tiles;
  float* out;
  int row;

  int first() const { return static_cast<int>(blockIdx.x) / kCluster; }
  int step() const { return static_cast<int>(gridDim.x) / kCluster; }
  int end() const { return row_groups; }
  Walk walk(int i) const {
    const int block = static_cast<int>(blockIdx.x) % kCluster;
    return {(i * kCluster + block) * kBlockRows, 0, n_tiles};
  }
  void begin(int i) { row = walk(i).row; }
  void collect(int32_t column, const SumsOfTile<kTile>& sums) {
    const int64_t n_columns = int64_t{n_tiles} * kTile;
    for (int r = 0; r < sums.kRows; ++r) {
      for (int c = 0; c < sums.kColumns; ++c) {
        out[(row + sums.row(r)) * n_columns + column + sums.column(c)] = sums.at(r, c);
      }
    }
  }
  void finish(int) {}
};

template <int kCluster, int kTile>
__global__ void store_all(const __grid_constant__ TensorMap rows,
                          const __grid_constant__ TensorMap columns, int64_t dim, int row_groups,
                          int n_tiles, float* out) {
  StoreJob<kCluster, kTile> job{row_groups, n_tiles, out, 0};
  multiply<kCluster, kTile>(rows, columns, dim, *reinterpret_cast<Ring*>(shared_memory()), job);
}

template <int kCluster, int kTile>
void multiply_all(const HalfRows& x, const HalfRows& y, int64_t n_clusters, float* out) {
  const int64_t group = kCluster * kBlockRows;
  launch_clusters(store_all<kCluster, kTile>, n_clusters, kCluster, kWalkerThreads, sizeof(Ring),
                  Stream{}, map_rows(x, kBlockRows), map_rows(y, kTile / kCluster), x.dim,
                  static_cast<int>((x.n_rows + group - 1) / group),
                  static_cast<int>((y.n_rows + kTile - 1) / kTile), out);
}

}  // namespace

extern "C" {

// x: [n x dim], y: [m x dim] with dim a multiple of 8; fine: not 0 for fine sums; cluster: 1 or 2;
// out: [n x m], both rounded up to whole tiles, n to those of a cluster
TAMIS_EXPORT const char* warpgroup_sums(const uint16_t* x, int64_t n, const uint16_t* y, int64_t m,
                                        int64_t dim, int64_t fine, int64_t cluster,
                                        int64_t n_clusters, float* out) {
  return guarded([&] {
    const auto coarse =
        cluster == 1 ? multiply_all<1, kTileColumns> : multiply_all<2, kTileColumns>;
    const auto finer =
        cluster == 1 ? multiply_all<1, kFineTileColumns> : multiply_all<2, kFineTileColumns>;
    const auto multiply = fine != 0 ? finer : coarse;
    multiply({x, n, dim}, {y, m, dim}, n_clusters, out);
  });
}

// wgmma: not 0 for it, 0 for mma.sync.
TAMIS_EXPORT const char* choose_mainloop(int64_t wgmma) {
  return guarded([&] { use_mainloop(0, wgmma != 0 ? Mainloop::wgmma : Mainloop::mma); });
}
}
