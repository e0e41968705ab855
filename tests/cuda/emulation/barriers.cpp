// Barriers in shared memory, clusters, and registers.
#include <cstring>

#include "cluster.h"

namespace tamis::emulation {
namespace {

constexpr int kMostArrivals = (1 << 20) - 1;
constexpr int64_t kMostBytes = (1 << 20) - 1;
constexpr uint64_t kMade = 0x7a31b4d6c2e98f05;  // what the emulation leaves in a Barrier

Later& later() {
  Later& all = running->block->cluster().later();
  all.activate();
  return all;
}

size_t offset_of(const cuda::Barrier& barrier, const char* name, const Place& place) {
  check_shared(&barrier, kBarrierBytes, name, place);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&barrier);
  return static_cast<size_t>(bytes - running->block->shared());
}

BarrierState& find(const cuda::Barrier& barrier, int rank, const char* name, const Place& place) {
  const size_t offset = offset_of(barrier, name, place);
  if (rank < 0 || rank >= running->block->cluster().size()) {
    fail(std::string("gave ") + name + " a block that its cluster has not", place);
  }
  return usable_barrier(offset, rank, name, place);
}

// It arrives; bytes: that the phase has to wait for, too.
void arrive(BarrierState& barrier, int64_t bytes, const char* name, const Place& place) {
  Later& all = later();
  if (barrier.missing == 0) {
    fail(std::string("came to ") + name + " of a barrier that has its " +
             std::to_string(barrier.count) + " arrivals",
         place);
  }
  running->steps = 0;
  barrier.bytes += bytes;
  if (barrier.bytes > kMostBytes) {
    fail(std::string("came to ") + name + " of a barrier that cannot count " +
             std::to_string(barrier.bytes) + " bytes",
         place);
  }
  all.note_arrival(*running, barrier.block);
  all.publish(*running, barrier.arrived);
  --barrier.missing;
  all.settle(barrier);
  running->block->cluster().pause();
}

void ask_for_registers(const char* name, char kind, const Place& place) {
  meet_warp(name, kAllLanes, nullptr, [](void* const*, int) {}, place);
  later().doing(*running).registers.push_back(kind);
}

}  // namespace

BarrierState& usable_barrier(size_t offset, int rank, const char* name, const Place& place) {
  Later& all = later();
  BarrierState* found = all.find_barrier(rank, offset);
  if (found == nullptr) {
    fail(std::string("gave ") + name + " a barrier that nobody has made", place);
  }
  uint64_t word;
  std::memcpy(&word, running->block->cluster().block(rank).shared() + offset, sizeof word);
  if (word != kMade) fail(std::string("gave ") + name + " a barrier that was overwritten", place);
  const auto owner = static_cast<size_t>(found->owner);
  const bool mine = owner == all.number(*running);
  if (!mine && (found->ready_at == 0 || all.doing(*running).clock.of(owner) < found->ready_at)) {
    fail(std::string("gave ") + name + " a barrier that is not known to be ready", place);
  }
  if (all.has_ended(rank))
    fail(std::string("came to ") + name + " of a block that has ended", place);
  return *found;
}

BarrierState& Later::make_barrier(const Thread& owner, size_t offset, int count) {
  barriers_.push_back(std::make_unique<BarrierState>());
  BarrierState& made = *barriers_.back();
  made.part = n_threads_ + n_warps_ + barriers_.size() - 1;
  made.block = owner.block->rank();
  made.offset = offset;
  made.count = made.missing = count;
  made.owner = static_cast<int>(number(owner));
  by_place_[{made.block, offset}] = &made;
  return made;
}

BarrierState* Later::find_barrier(int block, size_t offset) {
  const auto found = by_place_.find({block, offset});
  return found == by_place_.end() ? nullptr : found->second;
}

// Ends the phase once nothing is missing.
void Later::settle(BarrierState& barrier) {
  if (barrier.missing > 0 || barrier.bytes > 0) return;
  if (barrier.bytes < 0) {
    cluster_->fail("ended a phase of the barrier at offset " + std::to_string(barrier.offset) +
                   " of shared memory, which got " + std::to_string(-barrier.bytes) +
                   " bytes more than were expected");
  }
  ++barrier.phase;
  barrier.missing = barrier.count;
  barrier.over = barrier.arrived;
  for (Thread* thread : barrier.waiting) cluster_->go_on(*thread);
  barrier.waiting.clear();
}

std::string Later::missing(const Thread& waiting) const {
  if (!active_) return {};
  for (const auto& barrier : barriers_) {
    for (const Thread* thread : barrier->waiting) {
      if (thread != &waiting) continue;
      return ", which lacks " + std::to_string(barrier->missing) + " of " +
             std::to_string(barrier->count) + " arrivals and " + std::to_string(barrier->bytes) +
             " bytes";
    }
  }
  return {};
}

void barrier_init(cuda::Barrier& barrier, int arrivals, Place place) {
  const size_t offset = offset_of(barrier, "barrier_init", place);
  if (arrivals < 1 || arrivals > kMostArrivals) {
    fail("made a barrier of " + std::to_string(arrivals) + " arrivals", place);
  }
  Later& all = later();
  if (all.find_barrier(running->block->rank(), offset) != nullptr) {
    fail("made a barrier twice", place);
  }
  touch(&barrier, kBarrierBytes, Access::write);
  std::memcpy(&barrier, &kMade, sizeof kMade);
  all.make_barrier(*running, offset, arrivals);
}

void barriers_are_ready() {
  Later& all = later();
  const auto me = all.number(*running);
  Doing& self = all.doing(*running);
  const int32_t now = self.clock.of(me);
  self.fenced = now;
  self.clock.raise(me, now + 1);
  for (const auto& barrier : all.barriers()) {
    if (barrier->owner == static_cast<int>(me) && barrier->ready_at == 0) {
      barrier->ready_at = now + 1;
    }
  }
}

void barrier_arrive(cuda::Barrier& barrier, Place place) {
  arrive(find(barrier, running->block->rank(), "barrier_arrive", place), 0, "barrier_arrive",
         place);
}

void barrier_arrive_in(cuda::Barrier& barrier, unsigned block, Place place) {
  arrive(find(barrier, static_cast<int>(block), "barrier_arrive_in", place), 0, "barrier_arrive_in",
         place);
}

void barrier_expect(cuda::Barrier& barrier, int bytes, Place place) {
  if (bytes < 0) fail("expected " + std::to_string(bytes) + " bytes", place);
  arrive(find(barrier, running->block->rank(), "barrier_expect", place), bytes, "barrier_expect",
         place);
}

void barrier_wait(cuda::Barrier& barrier, unsigned parity, Place place) {
  if (parity > 1) fail("waited for parity " + std::to_string(parity), place);
  BarrierState& state = find(barrier, running->block->rank(), "barrier_wait", place);
  Cluster& cluster = running->block->cluster();
  cluster.pause();
  while ((static_cast<unsigned>(state.phase) & 1) == parity) {
    state.waiting.push_back(running);
    cluster.wait("barrier_wait", place,
                 " of the barrier at offset " + std::to_string(state.offset) + " of shared memory");
  }
  running->steps = 0;
  Clock& clock = later().doing(*running).clock;
  clock.join(state.over);
  clock.raise(state.part, state.phase);
}

void registers_for_few(Place place) { ask_for_registers("registers_for_few", 'f', place); }
void registers_for_many(Place place) { ask_for_registers("registers_for_many", 'm', place); }

unsigned cluster_block() { return static_cast<unsigned>(running->block->rank()); }

void cluster_sync(Place place) { running->block->cluster().meet_all("cluster_sync", place); }

}  // namespace tamis::emulation
