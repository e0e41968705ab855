// The table of inner loops that one instruction set provides. Everything above this table is
// written once; everything below it is written per instruction set, in kernels_<level>.cpp.
//
// Packed layout. 48 rows make a panel: words of 32 bits, [groups x 48]. A word holds one float32
// (format f32, groups = dim) or four int8 (format i8, groups = ceil(dim / 4), zero padded). The
// same panel serves as rows and as columns of a tile.
#pragma once

#include <cstdint>

namespace tamis::cpu {

inline constexpr int kPanel = 48;        // rows of a panel, and the side of a tile
inline constexpr int kBlockGroups = 64;  // f32 groups summed before a tile is touched

// What rounding a row v to int8 did: v is about scale * q.
struct Quantized {
  float scale;
  float norm;     // upper bound on |scale * q|
  float error;    // upper bound on |v - scale * q|
  int32_t total;  // sum of q
};

struct Hit {
  uint8_t row, column;
  float score;
};

// One tile and how to read it: score = tile * row_scale * column_scale + column_bias.
struct Scan {
  int n_rows;
  const float* row_scale;     // [48]
  const float* row_margin;    // [48] a hit above the threshold lifts it to score - margin
  const uint64_t* row_sight;  // [48] bit c: the row sees column c
  const float* column_scale;  // [48]
  const float* column_bias;   // [48]
  float* row_threshold;       // [48] in and out
};

struct Kernels {
  const char* name;

  void (*widen)(const uint16_t* half, int64_t dim, float* out);
  void (*narrow)(const float* wide, int64_t dim, uint16_t* half);  // nearest even

  // Exact: x holds float16 numbers as float32, y float16 bits. Any order gives these bits.
  double (*dot)(const float* x, const uint16_t* y, int64_t dim);
  // Fixed order (canonical.h): 8 partial sums, no FMA.
  double (*dot_wide)(const float* x, const double* y, int64_t dim);
  double (*norm_squared)(const double* x, int64_t dim);
  // float16(x / divisor), rounded once, nearest even.
  void (*divide)(const double* x, double divisor, int64_t dim, uint16_t* half);
  void (*add)(const uint16_t* half, int64_t dim, double* sum);

  // tile[r][c] = sum over words of rows[.][r] * columns[.][c], r < n_rows. [48 x 48]
  void (*tile_f32)(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
                   float* tile);
  // Appends the scores at or above their row's threshold to hits; returns how many.
  int (*scan_f32)(const float* tile, const Scan& scan, Hit* hits);

  // The int8 pass; all four are null where the instruction set has no int8 dot products.
  //
  // x.y summed in sixteen float32 lanes, for what int8 left open.
  float (*dot_f32)(const float* x, const uint16_t* y, int64_t dim);
  // v = x * weight - center (center may be null), rounded to int8, into one column of a panel.
  Quantized (*pack_i8)(const float* x, float weight, const float* center, int64_t dim,
                       float* scratch, uint32_t* panel);
  // As tile_f32, with exact int32 sums; start[r] = -128 * (sum of row r).
  void (*tile_i8)(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
                  const int32_t* start, int32_t* tile);
  int (*scan_i8)(const int32_t* tile, const Scan& scan, Hit* hits);
};

extern const Kernels kScalar;
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const Kernels kAvx512Vnni;

}  // namespace tamis::cpu
