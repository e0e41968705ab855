#include "warp.h"

#include <algorithm>

#include "sums.h"

namespace tamis::emulation {
namespace {

constexpr uint64_t kPoison = ~uint64_t{0};

struct RowOfMatrix {
  const void* row;
  uint32_t* r;
};

// Element [row][column] of matrix i.
uint16_t element(void* const* operands, int i, int row, int column) {
  const auto* lane = static_cast<const RowOfMatrix*>(operands[8 * i + row]);
  uint16_t bits;
  std::memcpy(&bits, static_cast<const char*>(lane->row) + 2 * column, sizeof bits);
  return bits;
}

template <bool kTransposed>
void load_matrices(void* const* operands, int) {
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const uint32_t low =
          kTransposed ? element(operands, i, 2 * t, g) : element(operands, i, g, 2 * t);
      const uint32_t high =
          kTransposed ? element(operands, i, 2 * t + 1, g) : element(operands, i, g, 2 * t + 1);
      static_cast<RowOfMatrix*>(operands[lane])->r[i] = low | high << 16;
    }
  }
}

struct Fragments {
  float* d;
  const uint32_t* a;
  uint32_t b[2];
};

// d += a b to the model of Settings. a: [16 x 16], b: [16 x 8], d: [16 x 8]
void multiply(const float (&a)[16][16], const float (&b)[16][8], float (&d)[16][8]) {
  const Settings& model = settings();
  const bool plain = is_plain(model);  // the same, but vectors of columns
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; plain && k < 16; ++k) {
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
    }
    for (int column = 0; !plain && column < 8; ++column) {
      float products[16];
      for (int k = 0; k < 16; ++k) products[k] = a[row][k] * b[k][column];  // exact
      d[row][column] = sum_products(d[row][column], products, model);
    }
  }
}

void multiply_fragments(void* const* operands, int) {
  const float* wide = half_table();
  float a[16][16], b[16][8], d[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& own = *static_cast<const Fragments*>(operands[lane]);
    for (int i = 0; i < 2; ++i) {
      const int shift = 16 * i, k = 2 * t + i;
      a[g][k] = wide[own.a[0] >> shift & 0xffff];
      a[g + 8][k] = wide[own.a[1] >> shift & 0xffff];
      a[g][k + 8] = wide[own.a[2] >> shift & 0xffff];
      a[g + 8][k + 8] = wide[own.a[3] >> shift & 0xffff];
      b[k][g] = wide[own.b[0] >> shift & 0xffff];
      b[k + 8][g] = wide[own.b[1] >> shift & 0xffff];
      d[g][k] = own.d[i];
      d[g + 8][k] = own.d[i + 2];
    }
  }
  multiply(a, b, d);
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    const auto& own = *static_cast<const Fragments*>(operands[lane]);
    for (int i = 0; i < 2; ++i) {
      own.d[i] = d[g][2 * t + i];
      own.d[i + 2] = d[g + 8][2 * t + i];
    }
  }
}

void land(const Transfer& transfer) {
  const auto bytes = static_cast<size_t>(transfer.bytes);
  touch(transfer.to, 16, Access::write);
  if (bytes != 0) std::memcpy(transfer.to, transfer.from, bytes);
  std::memset(static_cast<char*>(transfer.to) + bytes, 0, 16 - bytes);
}

}  // namespace

void ldmatrix_x4(uint32_t (&r)[4], const void* row, Place place) {
  check_shared(row, 16, "ldmatrix", place);
  touch(row, 16, Access::read);
  RowOfMatrix mine{row, r};
  meet_warp("ldmatrix", kAllLanes, &mine, load_matrices<false>, place);
}

void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, Place place) {
  check_shared(row, 16, "ldmatrix", place);
  touch(row, 16, Access::read);
  RowOfMatrix mine{row, r};
  meet_warp("ldmatrix.trans", kAllLanes, &mine, load_matrices<true>, place);
}

void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, Place place) {
  Fragments mine{d, a, {b0, b1}};
  meet_warp("mma", kAllLanes, &mine, multiply_fragments, place);
}

void cp_async_16(void* shared, const void* global, int bytes, Place place) {
  check_shared(shared, 16, "cp.async", place);
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    fail("gave cp.async a misaligned address of device memory", place);
  }
  if (bytes < 0 || bytes > 16) fail("gave cp.async a size that is not 0 to 16", place);
  touch(shared, 16, Access::write);
  if (bytes != 0) touch(global, static_cast<size_t>(bytes), Access::read);
  std::memset(shared, 0xff, 16);
  running->groups.back().push_back({shared, global, bytes});
}

void cp_async_commit() { running->groups.emplace_back(); }

void cp_async_wait_pending(int pending) {
  auto& groups = running->groups;  // the last one is open, so not one that a wait is for
  const auto closed = static_cast<std::ptrdiff_t>(groups.size()) - 1;
  if (closed <= pending) return;
  const auto end = groups.begin() + (closed - pending);
  for (auto group = groups.begin(); group != end; ++group) {
    std::for_each(group->begin(), group->end(), land);
  }
  groups.erase(groups.begin(), end);
}

void shuffle(const char* name, uint32_t mask, Shuffle& mine, const Place& place) {
  const Act act = [](void* const* operands, int) {
    uint64_t values[kWarp];
    for (int lane = 0; lane < kWarp; ++lane) {
      values[lane] = operands[lane] ? static_cast<Shuffle*>(operands[lane])->value : kPoison;
    }
    for (int lane = 0; lane < kWarp; ++lane) {
      if (auto* own = static_cast<Shuffle*>(operands[lane])) own->value = values[own->source];
    }
  };
  meet_warp(name, mask, &mine, act, place);
}

uint32_t ballot(const char* name, uint32_t mask, bool predicate, const Place& place) {
  uint32_t mine = predicate ? 1 : 0;
  const Act act = [](void* const* operands, int) {
    uint32_t votes = 0;
    for (int lane = 0; lane < kWarp; ++lane) {
      if (operands[lane] == nullptr) continue;
      votes |= *static_cast<uint32_t*>(operands[lane]) << lane;
    }
    for (int lane = 0; lane < kWarp; ++lane) {
      if (operands[lane] != nullptr) *static_cast<uint32_t*>(operands[lane]) = votes;
    }
  };
  meet_warp(name, mask, &mine, act, place);
  return mine;
}

}  // namespace tamis::emulation
