// Products of a warp: mma.sync, and the arithmetic of all products.
#include <cmath>
#include <cstring>

#include "lanes.h"
#include "matrix.h"

namespace ptx {

namespace {

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float ieee_half_value(uint16_t bits) {
  const uint32_t sign = uint32_t{bits} >> 15 << 31, fraction = bits & 0x3ff;
  const int exponent = bits >> 10 & 31;
  if (exponent == 31) return from_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent == 0) {  // 2^-24 is the least
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  return from_bits(sign | static_cast<uint32_t>(exponent + 112) << 23 | fraction << 13);
}

float bfloat16_value(uint16_t bits) { return from_bits(uint32_t{bits} << 16); }

float cut(double exact) {
  const auto nearest = static_cast<float>(exact);
  const bool is_beyond = std::fabs(static_cast<double>(nearest)) > std::fabs(exact);
  return is_beyond ? from_bits(to_bits(nearest) - 1) : nearest;
}

const Operand& element(const Operand& operand, int i) {
  return operand.kind == Operand::kVector ? operand.parts[static_cast<size_t>(i)] : operand;
}

int count(const Operand& operand) {
  return operand.kind == Operand::kVector ? static_cast<int>(operand.parts.size()) : 1;
}

uint16_t half_of(const Warp& warp, const Operand& registers, int lane, int i) {
  return static_cast<uint16_t>(warp.value(element(registers, i / 2), lane) >> (i % 2 * 16));
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
          from_bits(static_cast<uint32_t>(warp.value(from, lane_of(row, column))));
    }
  }
  add_product(left, right, kDeep, sums);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      const Operand& to = operands[0].parts[static_cast<size_t>(register_of(row, column))];
      warp.set(to, lane_of(row, column), to_bits(sums.at[row][column]));
    }
  }
  return Outcome::kDone;
}

}  // namespace

const float* half_values(bool is_bfloat16) {
  static const auto tabulated = [](float (*value)(uint16_t)) {
    std::vector<float> all(65536);
    for (uint32_t i = 0; i < all.size(); ++i) all[i] = value(static_cast<uint16_t>(i));
    return all;
  };
  static const auto halves = tabulated(ieee_half_value), bfloat16s = tabulated(bfloat16_value);
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
