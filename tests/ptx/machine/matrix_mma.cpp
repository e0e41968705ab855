// Products of a warp: mma.sync, and the arithmetic of all products.
#include <vector>

#include "arithmetic.h"
#include "matrix.h"

namespace ptx {

namespace {

template <class T>
std::vector<float> tabulated() {
  std::vector<float> all(65536);
  for (size_t bits = 0; bits < all.size(); ++bits) {
    all[bits] = static_cast<float>(exact(T{static_cast<uint16_t>(bits)}));
  }
  return all;
}

float cut(double exact) {
  const auto nearest = static_cast<float>(exact);
  const bool is_beyond = std::fabs(static_cast<double>(nearest)) > std::fabs(exact);
  return is_beyond ? std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) - 1) : nearest;
}

int count(const Operand& operand) {
  return operand.kind == Operand::kVector ? static_cast<int>(operand.parts.size()) : 1;
}

uint16_t half_of(const Warp& warp, const Operand& registers, int lane, int i) {
  const Operand& two = element(registers, static_cast<size_t>(i / 2));
  return static_cast<uint16_t>(warp.value(two, lane) >> (i % 2 * 16));
}

// D, A, B, C
template <int kDeep, bool kBfloat16>
Outcome multiply(Warp& warp, const Instruction& instruction, Lanes lanes) {
  if (lanes != kAll) instruction.refuse("not all 32 lanes of the warp execute it");
  const auto& operands = instruction.operands;
  Left left;
  Right right;
  Sums sums;
  read_left(warp, operands[1], kBfloat16, left);
  const float* values = half_values(kBfloat16);
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < kDeep / 4; ++i) {
      const int row = i / 2 * 8 + lane % 4 * 2 + i % 2;
      right.at[row][lane / 4] = values[half_of(warp, operands[2], lane, i)];
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      const Operand& from = operands[3].parts[static_cast<size_t>(register_of(row, column))];
      sums.at[row][column] =
          std::bit_cast<float>(static_cast<uint32_t>(warp.value(from, lane_of(row, column))));
    }
  }
  add_product(left, right, kDeep, sums);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      const Operand& to = operands[0].parts[static_cast<size_t>(register_of(row, column))];
      warp.set(to, lane_of(row, column), std::bit_cast<uint32_t>(sums.at[row][column]));
    }
  }
  return Outcome::kDone;
}

}  // namespace

const float* half_values(bool is_bfloat16) {
  static const auto halves = tabulated<Half>(), bfloat16s = tabulated<Brain>();
  return is_bfloat16 ? bfloat16s.data() : halves.data();
}

void add_product(const Left& left, const Right& right, int depth, Sums& sums) {
  for (int row = 0; row < kRows; ++row) {
    double exact[kColumns] = {};
    for (int k = 0; k < depth; ++k) {
      const double factor = left.at[row][k];
      for (int column = 0; column < kColumns; ++column) {
        exact[column] += factor * right.at[k][column];
      }
    }
    for (int column = 0; column < kColumns; ++column) {
      sums.at[row][column] = cut(exact[column] + static_cast<double>(sums.at[row][column]));
    }
  }
}

void read_left(const Warp& warp, const Operand& registers, bool is_bfloat16, Left& left) {
  const float* values = half_values(is_bfloat16);
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int i = 0; i < 2 * count(registers); ++i) {
      const int row = lane / 4 + i / 2 % 2 * 8;
      const int column = lane % 4 * 2 + i % 2 + i / 4 * 8;
      left.at[row][column] = values[half_of(warp, registers, lane, i)];
    }
  }
}

Execute find_mma(Instruction& instruction) {
  const auto& words = instruction.words;
  const auto& operands = instruction.operands;
  if (words.size() != 10 || operands.size() != 4) return nullptr;
  const bool is_bfloat16 = words[7] == "bf16";
  if (words[1] != "sync" || words[2] != "aligned" || words[4] != "row" || words[5] != "col" ||
      words[6] != "f32" || words[9] != "f32" || words[7] != words[8] ||
      (words[7] != "f16" && !is_bfloat16)) {
    return nullptr;
  }
  if (words[3] != "m16n8k16" && words[3] != "m16n8k8") return nullptr;
  const int depth = words[3] == "m16n8k16" ? 16 : 8;
  if (count(operands[0]) != 4 || count(operands[1]) != depth / 4 ||
      count(operands[2]) != depth / 8 || count(operands[3]) != 4) {
    return nullptr;
  }
  instruction.gather = Instruction::kWarp;
  if (depth == 16) return is_bfloat16 ? multiply<16, true> : multiply<16, false>;
  return is_bfloat16 ? multiply<8, true> : multiply<8, false>;
}

}  // namespace ptx
