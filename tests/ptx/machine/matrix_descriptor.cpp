#include "matrix_descriptor.h"

#include <algorithm>
#include <cstring>

namespace ptx {

namespace {

inline constexpr uint32_t kChunk = 16;  // bytes: 8 elements
inline constexpr uint32_t kAddresses = 1u << 18;
inline constexpr uint64_t kReserved = 0x3ff1c000c000c000ull;  // 14-15, 30-31, 46-48, 52-61
inline constexpr uint64_t kBaseOffset = uint64_t{7} << 49;

// The bits of an address or offset, whose lowest four are not there.
uint32_t field(uint64_t descriptor, int first_bit) {
  return static_cast<uint32_t>(descriptor >> first_bit & 0x3fff) << 4;
}

}  // namespace

MatrixInMemory::MatrixInMemory(const Instruction& instruction, uint64_t descriptor,
                               bool is_transposed, int first_row, int n_rows)
    : start_(field(descriptor, 0)),
      leading_(field(descriptor, 16)),
      stride_(field(descriptor, 32)),
      is_transposed_(is_transposed),
      first_row_(first_row),
      n_rows_(n_rows) {
  static constexpr uint32_t kSpans[] = {16, 128, 64, 32};
  span_ = kSpans[descriptor >> 62];
  if ((descriptor & kReserved) != 0) {
    instruction.refuse("reserved bits of a matrix descriptor are set");
  }
  if ((descriptor & kBaseOffset) != 0) {
    instruction.refuse("a matrix descriptor has a base offset, which is not known here");
  }
  if (span_ != kChunk) check_pattern(instruction);
}

// Without a base offset the pattern of 8 spans begins at its own multiple. The matrix begins in the
// first of them, what is read lies within a span, and steps lead from pattern to pattern.
void MatrixInMemory::check_pattern(const Instruction& instruction) const {
  const uint32_t pattern = 8 * span_, inside = start_ % pattern;
  if (inside >= span_) {
    instruction.refuse("a matrix of a descriptor does not begin in the first row of its pattern");
  }
  const uint32_t rows = static_cast<uint32_t>(first_row_ + n_rows_);
  const uint32_t bytes = is_transposed_ ? std::min(2 * rows, span_) : 2 * kChunk;
  if (inside + bytes > span_ || (is_transposed_ && inside != 0 && 2 * rows > span_)) {
    instruction.refuse("a matrix of a descriptor goes beyond the row of its pattern");
  }
  const bool steps = is_transposed_ || rows > 8;
  if ((steps && stride_ % pattern != 0) ||
      (is_transposed_ && 2 * rows > span_ && leading_ % pattern != 0)) {
    instruction.refuse("an offset in a matrix descriptor does not lead to the next pattern");
  }
}

// The lowest of the bits above 6 are added to those from 4 on, without carries: as many of the
// address as chunks of a span need.
uint32_t MatrixInMemory::swizzled(uint32_t address) const {
  address %= kAddresses;
  return address ^ (address >> 7 & (span_ / kChunk - 1)) << 4;
}

void MatrixInMemory::append_to(Block& block, std::vector<uint16_t>& elements) const {
  if (is_transposed_) {
    append_transposed(block, elements);
  } else {
    append_rows(block, elements);
  }
}

// 8 rows follow each other, and 8 more are a stride further. A row's second chunk is the next in
// its span, or a leading offset away where there is no swizzle.
void MatrixInMemory::append_rows(Block& block, std::vector<uint16_t>& elements) const {
  const uint32_t step = span_ == kChunk ? leading_ : kChunk;
  size_t to = elements.size();
  elements.resize(to + static_cast<size_t>(n_rows_) * 16);
  for (int i = first_row_; i < first_row_ + n_rows_; ++i) {
    const auto row = static_cast<uint32_t>(i);
    const uint32_t first = start_ + row % 8 * span_ + row / 8 * stride_;
    for (uint32_t chunk = 0; chunk < 2; ++chunk, to += 8) {
      const uint32_t address = swizzled(first + chunk * step);
      std::memcpy(&elements[to], block.shared(address, kChunk, kChunk), kChunk);
    }
  }
}

// A chunk is 8 rows of one column. Without swizzle the chunks of 8 columns follow each other, the
// next rows are a stride away and the next columns a leading offset. With it a span holds rows, 8
// columns follow each other, the next columns are a stride away and further rows a leading offset.
void MatrixInMemory::append_transposed(Block& block, std::vector<uint16_t>& elements) const {
  const size_t begin = elements.size();
  const uint32_t in_span = span_ / kChunk;
  elements.resize(begin + static_cast<size_t>(n_rows_) * 16);
  for (int i = 0; i < n_rows_; i += 8) {
    const auto chunk = static_cast<uint32_t>((first_row_ + i) / 8);
    for (uint32_t column = 0; column < 16; ++column) {
      const uint32_t rows =
          span_ == kChunk ? chunk * stride_ : chunk % in_span * kChunk + chunk / in_span * leading_;
      const uint32_t columns =
          column % 8 * span_ + column / 8 * (span_ == kChunk ? leading_ : stride_);
      uint16_t eight[8];
      const uint32_t address = swizzled(start_ + rows + columns);
      std::memcpy(eight, block.shared(address, kChunk, kChunk), kChunk);
      for (size_t j = 0; j < 8; ++j) {
        elements[begin + (static_cast<size_t>(i) + j) * 16 + column] = eight[j];
      }
    }
  }
}

}  // namespace ptx
