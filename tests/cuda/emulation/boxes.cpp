// Boxes of a matrix, copied into shared memory.
#include <algorithm>
#include <cstring>

#include "cluster.h"

namespace tamis::emulation {
namespace {

constexpr int kMostBoxRows = 256;
constexpr int kBoxElements = kRowBytes / sizeof(uint16_t);
constexpr size_t kBoxAlignment = 1024;
constexpr size_t kChunkBytes = 16;
constexpr int kChunks = static_cast<int>(kRowBytes / kChunkBytes);

size_t bytes_of(const Copy& copy) { return static_cast<size_t>(copy.map.box_rows) * kRowBytes; }

unsigned char* target(Cluster& cluster, const Copy& copy) {
  return cluster.block(copy.block).shared() + copy.offset;
}

void check_map(const TensorMap& map, const Place& place) {
  if (map.n_rows <= 0 || map.dim <= 0 || map.box_rows <= 0 || map.box_rows > kMostBoxRows) {
    fail("used a map of " + std::to_string(map.n_rows) + " x " + std::to_string(map.dim) +
             " numbers and boxes of " + std::to_string(map.box_rows) + " rows",
         place);
  }
  if (map.dim * 2 % static_cast<int64_t>(kChunkBytes) != 0 ||
      reinterpret_cast<uintptr_t>(map.data) % kChunkBytes != 0) {
    fail("used a map of rows that are not 16-byte aligned", place);
  }
}

// The part of a row of the box that lies in the matrix; count: of its numbers, from `from` on.
struct Inside {
  int64_t from = 0, count = 0;
};
Inside inside(const Copy& copy) {
  const int64_t begin = std::max<int64_t>(copy.element, 0);
  const int64_t end = std::min<int64_t>(int64_t{copy.element} + kBoxElements, copy.map.dim);
  return {begin, std::max<int64_t>(end - begin, 0)};
}

bool has_row(const TensorMap& map, int64_t row) { return row >= 0 && row < map.n_rows; }

void bring(unsigned char* to, const Copy& copy) {
  const Inside part = inside(copy);
  for (int r = 0; r < copy.map.box_rows; ++r) {
    uint16_t numbers[kBoxElements] = {};
    const int64_t row = int64_t{copy.row} + r;
    if (has_row(copy.map, row) && part.count > 0) {
      std::memcpy(numbers + (part.from - copy.element),
                  copy.map.data + row * copy.map.dim + part.from,
                  static_cast<size_t>(part.count) * sizeof(uint16_t));
    }
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      std::memcpy(to + r * static_cast<int>(kRowBytes) +
                      (chunk ^ r % kChunks) * static_cast<int>(kChunkBytes),
                  reinterpret_cast<const unsigned char*>(numbers) +
                      static_cast<size_t>(chunk) * kChunkBytes,
                  kChunkBytes);
    }
  }
}

void copy_to(void* shared, const TensorMap& map, int element, int row, const cuda::Barrier& barrier,
             unsigned blocks, const char* name, const Place& place) {
  Block& block = *running->block;
  Cluster& cluster = block.cluster();
  Later& later = cluster.later();
  later.activate();
  check_map(map, place);
  check_shared(&barrier, kBarrierBytes, name, place);
  Copy copy;
  copy.map = map;
  copy.element = element;
  copy.row = row;
  copy.offset = static_cast<size_t>(static_cast<unsigned char*>(shared) - block.shared());
  copy.place = place;
  if (copy.offset > block.shared_bytes() || bytes_of(copy) > block.shared_bytes() - copy.offset) {
    fail(std::string("gave ") + name + " an address outside of shared memory", place);
  }
  if (copy.offset % kBoxAlignment != 0) {
    fail(std::string("gave ") + name + " a misaligned address", place);
  }
  if (blocks == 0 || blocks >> cluster.size() != 0) {
    fail(std::string("gave ") + name + " blocks that its cluster has not", place);
  }
  const Inside part = inside(copy);
  for (int64_t r = row; part.count > 0 && r < int64_t{row} + map.box_rows; ++r) {
    if (!has_row(map, r)) continue;
    touch(map.data + r * map.dim + part.from, static_cast<size_t>(part.count) * 2, Access::read);
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(&barrier);
  const auto barrier_offset = static_cast<size_t>(bytes - block.shared());
  for (int rank = 0; rank < cluster.size(); ++rank) {
    if ((blocks >> rank & 1) == 0) continue;
    copy.block = rank;
    copy.barrier = &usable_barrier(barrier_offset, rank, name, place);
    later.issue(copy);
  }
  cluster.pause();
}

}  // namespace

void Later::issue(const Copy& copy) {
  if (copy.barrier->ready_at == 0) {
    fail("copied for a barrier that is not known to be ready", copy.place);
  }
  check_copy(*running, copy);
  copies_.push_back(copy);
  std::memset(target(*cluster_, copy), 0xff, bytes_of(copy));
  on_the_way_.push_back(copies_.size() - 1);
}

// One of the copies comes.
void Later::land(uint64_t choice) {
  const size_t i = choice % on_the_way_.size();
  Copy& copy = copies_[on_the_way_[i]];
  on_the_way_.erase(on_the_way_.begin() + static_cast<std::ptrdiff_t>(i));
  bring(target(*cluster_, copy), copy);
  BarrierState& barrier = *copy.barrier;
  copy.phase = barrier.phase;
  barrier.bytes -= static_cast<int64_t>(bytes_of(copy));
  if (barrier.missing == 0 && barrier.bytes < 0) {
    cluster_->fail("a copy (" + words(copy.place) + ") brought " + std::to_string(-barrier.bytes) +
                   " bytes more than the barrier at offset " + std::to_string(barrier.offset) +
                   " of shared memory expected");
  }
  settle(barrier);
}

void prefetch(const TensorMap& map, Place place) { check_map(map, place); }

void copy_box(void* shared, const TensorMap& map, int element, int row, cuda::Barrier& barrier,
              Place place) {
  copy_to(shared, map, element, row, barrier, 1u << running->block->rank(), "copy_box", place);
}

void copy_box_to(void* shared, const TensorMap& map, int element, int row, cuda::Barrier& barrier,
                 uint16_t blocks, Place place) {
  copy_to(shared, map, element, row, barrier, blocks, "copy_box_to", place);
}

}  // namespace tamis::emulation
