// A matrix in shared memory, as wgmma is told of it.
#pragma once

#include <cstdint>
#include <vector>

#include "machine.h"

namespace ptx {

// Some rows of it, which are columns of what is multiplied from the right: 16 elements each. It is
// stored by rows, or, transposed, by columns.
class MatrixInMemory {
 public:
  // Error where the descriptor says what the hardware does not know.
  MatrixInMemory(const Instruction& instruction, uint64_t descriptor, bool is_transposed,
                 int first_row, int n_rows);

  // Row by row.
  void append_to(Block& block, std::vector<uint16_t>& elements) const;

 private:
  void check_pattern(const Instruction& instruction) const;
  uint32_t swizzled(uint32_t address) const;
  void append_rows(Block& block, std::vector<uint16_t>& elements) const;
  void append_transposed(Block& block, std::vector<uint16_t>& elements) const;

  uint32_t start_, leading_, stride_;
  uint32_t span_;  // bytes in which 16-byte chunks are exchanged, 16 without swizzle
  bool is_transposed_;
  int first_row_, n_rows_;
};

}  // namespace ptx
