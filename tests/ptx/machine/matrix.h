// What products of matrices share: 16-bit numbers, fragments, and sums as tensor cores round them.
#pragma once

#include <cstdint>

#include "program.h"

namespace ptx {

Execute find_mma(Instruction&);
Execute find_wgmma(Instruction&);

inline constexpr int kRows = 16;    // of the products of a warp
inline constexpr int kColumns = 8;  // of a piece of them
inline constexpr int kDepth = 16;   // at most

// One of several registers, or the only one.
inline const Operand& element(const Operand& operand, size_t i) {
  return operand.kind == Operand::kVector ? operand.parts[i] : operand;
}

// Of all IEEE halves, or of all bfloat16: by their bits.
const float* half_values(bool is_bfloat16);

// What a warp multiplies: the rows of A, 8 columns of B, and their sums, which are in 4 registers
// of each lane.
struct Left {
  double at[kRows][kDepth];
};
struct Right {
  double at[kDepth][kColumns];
};
struct Sums {
  float at[kRows][kColumns];
};

// sums += left x right. Products are exact and summed in float64; tensor cores then cut what does
// not fit into a float32, so that the result is rounded toward zero.
void add_product(const Left& left, const Right& right, int depth, Sums& sums);

// Where an element of Sums is.
inline int lane_of(int row, int column) { return row % 8 * 4 + column / 2; }
inline int register_of(int row, int column) { return row / 8 * 2 + column % 2; }

// From registers of two 16-bit numbers each: 4 of a lane, 2 for a depth of 8.
void read_left(const Warp& warp, const Operand& registers, bool is_bfloat16, Left& left);

}  // namespace ptx
