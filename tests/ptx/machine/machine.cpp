#include <algorithm>
#include <cstdlib>
#include <string>

#include "lanes.h"

namespace ptx {

namespace {

inline constexpr int kMostStepsInARow = 256;
inline constexpr uint64_t kMostStepsHeldBack = 32;
inline constexpr int kMostIdleRounds = 1 << 18;  // of polling, when nothing else happens
inline constexpr uint64_t kLongestPoll = 64;     // instructions of a loop that polls

// The block with this number, x first.
Size placed(uint64_t number, const Size& grid) {
  Size index;
  index.x = static_cast<uint32_t>(number % grid.x);
  index.y = static_cast<uint32_t>(number / grid.x % grid.y);
  index.z = static_cast<uint32_t>(number / grid.x / grid.y);
  return index;
}

}  // namespace

void Block::Free::operator()(uint8_t* memory) const { std::free(memory); }

Block::Block(Cluster& cluster, Size index, uint32_t rank, const Launch& launch)
    : cluster(cluster), launch(launch), index(index), rank(rank), copies(launch.block.count()) {
  shared_bytes_ = (launch.kernel->shared_bytes + 1023) / 1024 * 1024 + launch.shared_bytes;
  const size_t whole = (shared_bytes_ + 1024) / 1024 * 1024;
  memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(1024, whole)));
  std::fill(memory_.get(), memory_.get() + whole, kUnwritten);
  const auto n_threads = static_cast<int>(launch.block.count());
  for (int first = 0; first < n_threads; first += kLanes) {
    const int n = std::min(kLanes, n_threads - first);
    const Lanes lanes = n == kLanes ? kAll : lane_bit(n) - 1;
    warps.push_back(std::make_unique<Warp>(*this, first / kLanes, lanes));
  }
}

uint8_t* Block::shared(uint32_t address, size_t bytes, size_t alignment) {
  const uint32_t other = address >> 24, own = address & 0xffffff;
  if (other > cluster.blocks.size()) {
    throw Error("shared memory of a block that is not in the cluster: " + std::to_string(address));
  }
  if (own % alignment != 0) {
    throw Error("shared address " + std::to_string(own) + " is not a multiple of " +
                std::to_string(alignment));
  }
  Block& block = other == 0 ? *this : *cluster.blocks[other - 1];
  const size_t named = launch.kernel->shared_bytes, end = own + bytes - kSharedBase;
  const bool is_between = end > named && own < kSharedBase + (named + 1023) / 1024 * 1024;
  if (own < kSharedBase || end > block.shared_bytes_ || is_between) {
    throw Error(std::to_string(bytes) + " bytes at shared address " + std::to_string(own) +
                " are outside of the " + std::to_string(block.shared_bytes_) + " from " +
                std::to_string(kSharedBase) + " on");
  }
  if (block.has_ended_) throw Error("shared memory of a block that has ended was used");
  return block.memory_.get() + (own - kSharedBase);
}

uint32_t Block::shared_address(const uint8_t* memory) const {
  for (const auto& block : cluster.blocks) {
    const uint8_t* begin = block->memory_.get();
    if (memory < begin || memory > begin + block->shared_bytes_) continue;
    const uint32_t other = block.get() == this ? 0 : (block->rank + 1) << 24;
    return other | (kSharedBase + static_cast<uint32_t>(memory - begin));
  }
  throw Error("an address is none of the cluster's shared memory");
}

int Block::n_alive() const {
  return static_cast<int>(
      std::count_if(warps.begin(), warps.end(), [](const auto& warp) { return warp->alive != 0; }));
}

Cluster::Cluster(const Launch& launch, Size first_block, std::mt19937_64& random)
    : launch(launch), random_(random) {
  for (uint64_t rank = 0; rank < launch.cluster.count(); ++rank) {
    const Size inside = placed(rank, launch.cluster);
    const Size index{first_block.x + inside.x, first_block.y + inside.y, first_block.z + inside.z};
    blocks.push_back(std::make_unique<Block>(*this, index, static_cast<uint32_t>(rank), launch));
  }
}

void Cluster::run_later() {
  std::swap(later[random_() % later.size()], later.back());
  const auto work = std::move(later.back());
  later.pop_back();
  work();
}

// Whether anything but polling was done: what soon comes back to the same wait is a part of it.
bool Cluster::take_turn(Warp& warp) {
  bool moved = false;
  if (random_() % 4 == 0) {
    warp.hold_back(static_cast<Lanes>(random_()), 1 + random_() % kMostStepsHeldBack);
  }
  for (auto steps = 1 + random_() % kMostStepsInARow; steps > 0 && warp.alive != 0; --steps) {
    const Outcome outcome = warp.step();
    ++now;
    if (outcome == Outcome::kAgain) return moved;
    if (outcome == Outcome::kYield) {
      warp.since_poll = 0;
      return moved;
    }
    moved = moved || warp.since_poll >= kLongestPoll;
    ++warp.since_poll;
    if (outcome == Outcome::kTold && random_() % 2 == 0) return moved;
  }
  return moved;
}

void Cluster::run() {
  std::vector<Warp*> warps;
  for (const auto& block : blocks) {
    for (const auto& warp : block->warps) warps.push_back(warp.get());
  }
  for (int idle = 0; !warps.empty(); ++idle) {
    std::shuffle(warps.begin(), warps.end(), random_);
    for (Warp* warp : warps) {
      if (take_turn(*warp)) idle = 0;
    }
    std::erase_if(warps, [](const Warp* warp) { return warp->alive == 0; });
    if (!later.empty() && (idle > 0 || random_() % 4 == 0)) {
      run_later();
      idle = 0;
    }
    if (idle > kMostIdleRounds) throw Error("a deadlock: all warps wait for each other");
  }
  if (!later.empty()) throw Error("a copy was under way when its block had ended");
}

std::vector<ParameterBytes> packed(const Kernel& kernel, const void* const* arguments) {
  std::vector<ParameterBytes> parameters(kernel.parameter_bytes / sizeof(ParameterBytes) + 1);
  for (size_t i = 0; i < kernel.parameter_sizes.size(); ++i) {
    std::memcpy(parameters.data()->bytes + kernel.parameter_offsets[i], arguments[i],
                kernel.parameter_sizes[i]);
  }
  return parameters;
}

void run(const Launch& launch) {
  std::mt19937_64 random(launch.seed);
  const Size &grid = launch.grid, &cluster = launch.cluster;
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    throw Error("the grid is not made of whole clusters");
  }
  const Size clusters{grid.x / cluster.x, grid.y / cluster.y, grid.z / cluster.z};
  std::vector<uint64_t> order(clusters.count());
  for (uint64_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  for (const uint64_t number : order) {
    Size first = placed(number, clusters);
    first.x *= launch.cluster.x;
    first.y *= launch.cluster.y;
    first.z *= launch.cluster.z;
    try {
      Cluster(launch, first, random).run();
    } catch (const Error& error) {
      throw Error("kernel " + launch.kernel->name + ", block " + std::to_string(first.x) + ", " +
                  std::to_string(first.y) + ", " + std::to_string(first.z) + ": " + error.what());
    }
  }
}

}  // namespace ptx
