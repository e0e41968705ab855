// Matrices of 8 x 8 elements of 16 bits between shared memory and registers.
#include "matrix.h"

#include <cstring>

#include "lanes.h"

namespace ptx {

namespace {

struct Tile {
  uint16_t at[8][8];
};

// The row of a tile that a lane names.
uint8_t* find_row(Warp& warp, const Instruction& instruction, const Operand& address, int lane) {
  const auto at = static_cast<uint32_t>(warp.address(address, lane));
  if (at >> 24 != 0 && (at >> 24) - 1 != warp.block.rank) {
    instruction.refuse("shared memory of another block");
  }
  return warp.block.shared(at, sizeof(Tile::at[0]), sizeof(Tile::at[0]));
}

void check_all(const Instruction& instruction, Lanes lanes) {
  if (lanes != kAll) instruction.refuse("not all 32 lanes of the warp execute it");
}

// Lane l holds elements 2(l%4) and the next of row l/4, or of that column.
template <int kTiles, bool kTransposed>
Outcome load(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_all(instruction, lanes);
  Tile tiles[kTiles];
  for (int lane = 0; lane < 8 * kTiles; ++lane) {
    std::memcpy(tiles[lane / 8].at[lane % 8],
                find_row(warp, instruction, instruction.operands[1], lane), sizeof(Tile::at[0]));
  }
  for (size_t i = 0; i < kTiles; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const int major = lane / 4, minor = lane % 4 * 2;
      const auto& at = tiles[i].at;
      const uint32_t low = kTransposed ? at[minor][major] : at[major][minor];
      const uint32_t high = kTransposed ? at[minor + 1][major] : at[major][minor + 1];
      warp.set(element(instruction.operands[0], i), lane, low | high << 16);
    }
  }
  return Outcome::kDone;
}

template <int kTiles, bool kTransposed>
Outcome store(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_all(instruction, lanes);
  Tile tiles[kTiles];
  for (size_t i = 0; i < kTiles; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const int major = lane / 4, minor = lane % 4 * 2;
      auto& at = tiles[i].at;
      const auto bits =
          static_cast<uint32_t>(warp.value(element(instruction.operands[1], i), lane));
      (kTransposed ? at[minor][major] : at[major][minor]) = static_cast<uint16_t>(bits);
      (kTransposed ? at[minor + 1][major] : at[major][minor + 1]) =
          static_cast<uint16_t>(bits >> 16);
    }
  }
  for (int lane = 0; lane < 8 * kTiles; ++lane) {
    std::memcpy(find_row(warp, instruction, instruction.operands[0], lane),
                tiles[lane / 8].at[lane % 8], sizeof(Tile::at[0]));
  }
  return Outcome::kDone;
}

template <int kTiles>
Execute choose(bool is_load, bool is_transposed) {
  if (is_load) return is_transposed ? load<kTiles, true> : load<kTiles, false>;
  return is_transposed ? store<kTiles, true> : store<kTiles, false>;
}

Execute find_tiles(Instruction& instruction) {
  const bool is_load = instruction.words[0] == "ldmatrix";
  const bool is_shared = instruction.has("shared") || instruction.has("shared::cta");
  if (!instruction.has("sync") || !instruction.has("aligned") || !instruction.has("m8n8") ||
      !instruction.has("b16") || !is_shared || instruction.operands.size() != 2) {
    return nullptr;
  }
  const Operand& registers = instruction.operands[is_load ? 0 : 1];
  const size_t n = registers.kind == Operand::kVector ? registers.parts.size() : 1;
  const bool is_transposed = instruction.has("trans");
  instruction.gather = Instruction::kWarp;
  if (instruction.has("x1") && n == 1) return choose<1>(is_load, is_transposed);
  if (instruction.has("x2") && n == 2) return choose<2>(is_load, is_transposed);
  if (instruction.has("x4") && n == 4) return choose<4>(is_load, is_transposed);
  return nullptr;
}

}  // namespace

Execute find_matrix(Instruction& instruction) {
  const std::string& name = instruction.words[0];
  if (name == "ldmatrix" || name == "stmatrix") return find_tiles(instruction);
  if (name == "mma") return find_mma(instruction);
  if (name == "wgmma") return find_wgmma(instruction);
  return nullptr;
}

}  // namespace ptx
