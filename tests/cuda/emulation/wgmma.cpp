// Products of a warpgroup.
#include "wgmma.h"

#include <algorithm>
#include <cstring>

#include "cluster.h"

namespace tamis::emulation {
namespace {

constexpr size_t kAtomBytes = 1024;  // eight rows of a box
constexpr uint64_t kBoxFields =      // of an operand: all but the address
    uint64_t{1} << 16 | uint64_t{kAtomBytes >> 4} << 32 | uint64_t{1} << 62;
constexpr uint64_t kAddressField = 0x3fff;
constexpr int kGroupThreads = kWarp * kGroupWarps;

Later& later() {
  Later& all = running->block->cluster().later();
  all.activate();
  return all;
}

bool same_text(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

// The running thread's warp comes to the next instruction of its warpgroup, which is to be the same
// for all.
void come(const Step& step) {
  const Block& block = *running->block;
  if (running->warp / kGroupWarps * kGroupThreads + kGroupThreads > block.n_threads()) {
    fail(std::string("called ") + step.name + " outside of a warpgroup", step.place);
  }
  meet_warp(step.name, kAllLanes, nullptr, [](void* const*, int) {}, step.place);
  Later& all = later();
  std::vector<Step>& steps = all.warpgroup(*running).steps;
  const size_t i = all.doing(*running).steps++;
  if (i == steps.size()) {
    steps.push_back(step);
    return;
  }
  const Step& first = steps[i];
  const bool here = same_text(first.name, step.name) && first.place.line == step.place.line &&
                    same_text(first.place.file, step.place.file);
  if (here && first.a == step.a && first.b == step.b && first.value == step.value) return;
  const std::string came = std::string("came to ") + step.name + " (" + words(step.place) + ")";
  if (here) fail_at_once(came + " with other operands than others of its warpgroup");
  fail(came + ", where others of its warpgroup came to " + first.name, first.place);
}

bool is_poison(const float* d, int n_sums) {
  uint32_t words[kMostSums];
  std::memcpy(words, d, static_cast<size_t>(n_sums) * sizeof *d);
  return std::all_of(words, words + n_sums, [](uint32_t word) { return word == 0xffffffffu; });
}

Series* find(Doing& self, const float* d) {
  for (const auto& series : self.series) {
    if (series->d == d) return series.get();
  }
  return nullptr;
}

Rows rows_of(uint64_t operand, size_t n_rows, const Place& place) {
  const size_t address = (operand & kAddressField) << 4;
  if ((operand & ~kAddressField) != kBoxFields || address % kAtomBytes >= kRowBytes) {
    fail("multiplied an operand that describes no rows of a box", place);
  }
  const size_t first = address - address % kAtomBytes;
  if (first + n_rows * kRowBytes > running->block->shared_bytes()) {
    fail("multiplied what lies outside of shared memory", place);
  }
  return {first / kRowBytes, n_rows};
}

// The number in row r, element k of the operand.
float element(const unsigned char* shared, uint64_t operand, int r, int k) {
  size_t at = ((operand & kAddressField) << 4) + static_cast<size_t>(r) / 8 * kAtomBytes +
              static_cast<size_t>(r) % 8 * kRowBytes + static_cast<size_t>(k) * 2;
  at ^= (at >> 7 & 7) << 4;
  uint16_t bits;
  std::memcpy(&bits, shared + at, sizeof bits);
  return half_table()[bits];
}

std::shared_ptr<Operands> widen(const unsigned char* shared, uint64_t a, uint64_t b,
                                int n_columns) {
  auto wide = std::make_shared<Operands>();
  for (int row = 0; row < kGroupRows; ++row) {
    for (int k = 0; k < kDepth; ++k) wide->a[row][k] = element(shared, a, row, k);
  }
  for (int column = 0; column < n_columns; ++column) {
    const int t = column % 8 / 2, place = column / 8 * 2 + column % 2;
    for (int k = 0; k < kDepth; ++k) wide->b[t][k][place] = element(shared, b, column, k);
  }
  return wide;
}

// One row of the thread's sums, [kCount].
template <int kCount>
void multiply_row(const float* a, const float (*b)[kMostSums / 2], float* sums) {
  const Settings& model = settings();
  if (is_plain(model)) {
    float total[kCount];
    std::memcpy(total, sums, sizeof total);
    for (int k = 0; k < kDepth; ++k) {
      for (int i = 0; i < kCount; ++i) total[i] += a[k] * b[k][i];
    }
    std::memcpy(sums, total, sizeof total);
    return;
  }
  for (int i = 0; i < kCount; ++i) {
    float products[kDepth];
    for (int k = 0; k < kDepth; ++k) products[k] = a[k] * b[k][i];  // exact
    sums[i] = sum_products(sums[i], products, model);
  }
}

// d: the sums of warp w and lane 4 g + t are rows 16 w + g and that + 8.
template <int kCount>
void multiply(const Operands& operands, bool adds, float* d) {
  const int g = running->lane / 4, t = running->lane % 4, w = running->warp % kGroupWarps;
  for (int half = 0; half < 2; ++half) {
    float sums[kCount];
    for (int i = 0; i < kCount; ++i) {
      sums[i] = adds ? d[i / 2 * 4 + 2 * half + i % 2] : 0;
    }
    multiply_row<kCount>(operands.a[16 * w + g + 8 * half], operands.b[t], sums);
    for (int i = 0; i < kCount; ++i) d[i / 2 * 4 + 2 * half + i % 2] = sums[i];
  }
}

// Reads the operands where no thread of the warpgroup has yet.
Operands& read(Later& all, const Series::Product& product, int n_sums) {
  auto& operands = all.warpgroup(*running).operands[product.number];
  if (operands == nullptr)
    operands = widen(running->block->shared(), product.a, product.b, 2 * n_sums);
  return *operands;
}

// Makes the products of the series up to this one.
void make(Later& all, Series& series, int32_t last) {
  size_t made = 0;
  for (; made < series.products.size() && series.products[made].number <= last; ++made) {
    const Series::Product& product = series.products[made];
    Operands& operands = read(all, product, series.n_sums);
    if (series.n_sums == kMostSums) {
      multiply<kMostSums / 2>(operands, product.adds, series.sums);
    } else {
      multiply<kMostSums / 4>(operands, product.adds, series.sums);
    }
    if (++operands.threads == kGroupThreads) all.warpgroup(*running).operands.erase(product.number);
  }
  series.products.erase(series.products.begin(),
                        series.products.begin() + static_cast<std::ptrdiff_t>(made));
}

}  // namespace

uint64_t operand(const void* first_row, int element, Place place) {
  const auto* row = static_cast<const unsigned char*>(first_row);
  const auto offset = static_cast<size_t>(row - running->block->shared());
  if (offset >= running->block->shared_bytes()) {
    fail("gave operand an address outside of shared memory", place);
  }
  if (offset % kAtomBytes != 0) {
    fail("gave operand a row that is not a multiple of eight of a box", place);
  }
  if (element < 0 || element >= 64 || element % kDepth != 0) {
    fail("gave operand element " + std::to_string(element), place);
  }
  return ((offset + static_cast<size_t>(element) * 2) >> 4) | kBoxFields;
}

void begin_sums(float* d, int n_sums, const Place& place) {
  come({"wgmma_begin", 0, 0, 0, place});
  Doing& self = later().doing(*running);
  Series* series = find(self, d);
  if (series == nullptr) {
    self.series.push_back(std::make_shared<Series>());
    series = self.series.back().get();
    series->d = d;
    series->n_sums = n_sums;
  }
  if (!series->multiplied) std::memcpy(series->sums, d, static_cast<size_t>(n_sums) * sizeof *d);
}

void multiply_later(const char* name, float* d, int n_sums, uint64_t a, uint64_t b, int sum,
                    const Place& place) {
  come({name, a, b, sum, place});
  Later& all = later();
  Doing& self = all.doing(*running);
  Series* series = find(self, d);
  if (series == nullptr) fail("multiplied without wgmma_begin", place);
  const int32_t number = ++self.products;
  all.check_product(*running, rows_of(a, kGroupRows, place),
                    rows_of(b, static_cast<size_t>(2 * n_sums), place), number, place);
  const size_t bytes = static_cast<size_t>(n_sums) * sizeof *d;
  const bool same =
      series->multiplied ? is_poison(d, n_sums) : std::memcmp(series->sums, d, bytes) == 0;
  if (!same) fail("changed sums between wgmma_begin and wgmma_wait", place);
  series->multiplied = true;
  series->products.push_back({number, a, b, sum != 0});
  std::memset(d, 0xff, bytes);
  if (running->block->cluster().by_chance(2)) read(all, series->products.back(), n_sums);
}

void wgmma_commit(Place place) {
  come({"wgmma_commit", 0, 0, 0, place});
  Doing& self = later().doing(*running);
  self.groups.push_back(self.products);
}

void wait_for_sums(float* d, int n_sums, int pending, const Place& place) {
  come({"wgmma_wait", 0, 0, pending, place});
  Later& all = later();
  Doing& self = all.doing(*running);
  const auto n = static_cast<std::ptrdiff_t>(self.groups.size()) - pending;
  if (n > 0) {
    self.over = self.groups[static_cast<size_t>(n - 1)];
    self.groups.erase(self.groups.begin(), self.groups.begin() + n);
    for (const auto& series : self.series) make(all, *series, self.over);
    self.clock.raise(all.part_of_warp(*running), self.over);
  }
  Series* mine = find(self, d);
  if (mine == nullptr || !mine->multiplied || !mine->products.empty()) return;
  if (!is_poison(d, n_sums)) fail("changed sums before wgmma_wait", place);
  std::memcpy(d, mine->sums, static_cast<size_t>(n_sums) * sizeof *d);
  self.series.erase(std::find_if(self.series.begin(), self.series.end(),
                                 [&](const auto& series) { return series.get() == mine; }));
}

}  // namespace tamis::emulation
