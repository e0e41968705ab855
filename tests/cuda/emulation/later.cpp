#include "later.h"

#include <algorithm>
#include <cstring>

#include "cluster.h"

namespace tamis::emulation {
namespace {

constexpr size_t kLane = 16;  // numbers compared at once

std::string at(size_t offset) { return "offset " + std::to_string(offset) + " of shared memory"; }

}  // namespace

void Clock::raise(size_t part, int32_t time) {
  if (part >= times_.size()) times_.resize((part / kLane + 1) * kLane);
  times_[part] = std::max(times_[part], time);
}

void Clock::join(const Clock& other) {
  if (times_.size() < other.times_.size()) times_.resize(other.times_.size());
  int32_t* mine = times_.data();
  const int32_t* theirs = other.times_.data();
  for (size_t start = 0; start < other.times_.size(); start += kLane) {
    int32_t most[kLane];
    for (size_t i = 0; i < kLane; ++i) most[i] = std::max(mine[start + i], theirs[start + i]);
    std::memcpy(mine + start, most, sizeof most);
  }
}

bool Clock::covers(const Clock& other) const {
  for (size_t part = 0; part < other.times_.size(); ++part) {
    if (of(part) < other.times_[part]) return false;
  }
  return true;
}

void Later::begin(Cluster& cluster, const Launch& launch) {
  cluster_ = &cluster;
  launch_ = &launch;
  active_ = false;
  on_the_way_.clear();
}

// Nothing is kept for kernels that ask for nothing later.
void Later::activate() {
  if (active_) return;
  active_ = true;
  const auto blocks = static_cast<size_t>(launch_->cluster);
  n_threads_ = blocks * static_cast<size_t>(launch_->threads);
  n_warps_ = n_threads_ / kWarp;
  rows_per_block_ = (launch_->shared_bytes + kRowBytes - 1) / kRowBytes;
  doing_.clear();
  for (size_t i = 0; i < n_threads_; ++i) {
    doing_.push_back(std::make_unique<Doing>());
    doing_.back()->clock.raise(i, 1);
  }
  barriers_.clear();
  by_place_.clear();
  copies_.clear();
  rows_.assign(blocks * rows_per_block_, {});
  changes_ = 0;
  readings_.assign(n_warps_, {});
  warpgroups_.clear();
  warpgroups_.resize(n_warps_);
  ends_.assign(blocks, {});
  for (int rank = 0; rank < launch_->cluster; ++rank) {
    cluster_->block(rank).accesses().watch(this);
  }
}

size_t Later::number(const Thread& thread) const {
  return static_cast<size_t>(thread.block->rank() * launch_->threads + thread.number);
}

size_t Later::part_of_warp(const Thread& thread) const {
  return n_threads_ + number(thread) / kWarp;
}

// What the thread knows, it tells; what it does from now on, it does not.
void Later::publish(const Thread& thread, Clock& to) {
  Clock& clock = doing(thread).clock;
  const size_t own = number(thread);
  to.join(clock);
  clock.raise(own, clock.of(own) + 1);
}

void Later::meet(const std::vector<Thread*>& threads) {
  Clock all;
  for (const Thread* thread : threads) publish(*thread, all);
  for (const Thread* thread : threads) doing(*thread).clock.join(all);
}

bool Later::knows(const Clock& clock, const Copy& copy) const {
  return copy.phase != kOnItsWay && clock.of(copy.barrier->part) > copy.phase;
}

Warpgroup& Later::warpgroup(const Thread& thread) {
  return warpgroups_[number(thread) / kWarp - static_cast<size_t>(thread.warp % kGroupWarps)];
}

// An ordinary access.
void Later::use(const Thread& thread, size_t offset, size_t bytes, Access access) {
  const Doing& self = doing(thread);
  const int block = thread.block->rank();
  const auto me = static_cast<int>(number(thread));
  for (size_t i = offset / kRowBytes; i * kRowBytes < offset + bytes; ++i) {
    Row& row = this->row(block, i);
    const char* verb = access == Access::read ? "read " : "wrote ";
    if (row.copy != 0 && !knows(self.clock, copies_[row.copy - 1])) {
      fail(verb + at(offset) + ", where a copy is not known to have come",
           copies_[row.copy - 1].place);
    }
    for (size_t warp = 0; access != Access::read && warp < row.products.size(); ++warp) {
      if (self.clock.of(n_threads_ + warp) < row.products[warp]) {
        fail_at_once(verb + at(offset) + ", which products of warp " +
                     std::to_string(warp % static_cast<size_t>(launch_->threads / kWarp)) +
                     " are not known to have read");
      }
    }
    if (access != Access::read) ++changes_;
    std::vector<Row::Use>& uses = access == Access::read ? row.reads : row.writes;
    const auto mine = std::find_if(uses.begin(), uses.end(),
                                   [&](const Row::Use& use) { return use.thread == me; });
    const int32_t now = self.clock.of(static_cast<size_t>(me));
    if (mine != uses.end()) {
      mine->time = now;
    } else {
      uses.push_back({me, now});
    }
  }
}

// Whether a thread may have something read, or overwritten, that was written in the ordinary way.
bool Later::is_there(const Row::Use& write, const Clock& clock) const {
  return doing_[static_cast<size_t>(write.thread)]->fenced >= write.time &&
         clock.of(static_cast<size_t>(write.thread)) > write.time;
}

// A copy that the thread is about to issue. The rows are the copy's from now on.
void Later::check_copy(const Thread& thread, const Copy& copy) {
  const Clock& clock = doing(thread).clock;
  const bool checks = settings().races;
  ++changes_;
  const size_t first = copy.offset / kRowBytes;
  for (size_t i = first; i < first + static_cast<size_t>(copy.map.box_rows); ++i) {
    Row& row = this->row(copy.block, i);
    const auto refuse = [&](const std::string& what) {
      fail("copied to " + at(i * kRowBytes) + " of block " + std::to_string(copy.block) +
               " of the cluster, " + what,
           copy.place);
    };
    if (checks && row.copy != 0 && !knows(clock, copies_[row.copy - 1])) {
      refuse("where another copy is not known to have come");
    }
    for (size_t warp = 0; checks && warp < row.products.size(); ++warp) {
      if (clock.of(n_threads_ + warp) < row.products[warp]) {
        refuse("which products of warp " +
               std::to_string(warp % static_cast<size_t>(launch_->threads / kWarp)) +
               " are not known to have read");
      }
    }
    for (const Row::Use& write : row.writes) {
      if (checks && !is_there(write, clock)) refuse("where a thread wrote with no barrier between");
    }
    for (const Row::Use& read : row.reads) {
      const auto who = static_cast<size_t>(read.thread);
      if (checks && who != number(thread) && clock.of(who) < read.time) {
        refuse("where a thread read with no barrier between");
      }
    }
    row.reads.clear();
    row.writes.clear();
    row.copy = copies_.size() + 1;
  }
}

bool Later::read(const Thread& thread, const Rows& rows, int32_t product, const Place& place) {
  const Clock& clock = doing(thread).clock;
  const size_t warp = number(thread) / kWarp;
  std::vector<size_t>& copies = readings_[warp].copies;
  const bool checks = settings().races;
  bool plain = true;
  for (size_t i = rows.first; i < rows.first + rows.n; ++i) {
    Row& row = this->row(thread.block->rank(), i);
    if (row.copy != 0 && (copies.empty() || copies.back() != row.copy)) copies.push_back(row.copy);
    if (checks && row.copy == 0 && row.writes.empty()) {
      fail("multiplied " + at(i * kRowBytes) + ", where nothing is", place);
    }
    for (const Row::Use& write : row.writes) {
      plain = false;
      if (checks && !is_there(write, clock)) {
        fail("multiplied " + at(i * kRowBytes) + ", where a thread wrote with no barrier between",
             place);
      }
    }
    if (row.products.empty()) row.products.resize(n_warps_);
    row.products[warp] = std::max(row.products[warp], product);
  }
  return plain;
}

// Rows that a product is about to read, some time.
void Later::check_product(const Thread& thread, const Rows& a, const Rows& b, int32_t product,
                          const Place& place) {
  Reading& reading = readings_[number(thread) / kWarp];
  if (reading.product != product || reading.changes != changes_) {
    reading.copies.clear();
    const bool plain = read(thread, a, product, place);
    reading.product = read(thread, b, product, place) && plain ? product : 0;
    reading.changes = changes_;
  }
  for (const size_t number : reading.copies) {
    const Copy& copy = copies_[number - 1];
    if (settings().races && !knows(doing(thread).clock, copy)) {
      fail("multiplied " + at(copy.offset) +
               ", where it has not waited for the end of a copy's phase",
           place);
    }
  }
}

void Later::note_arrival(const Thread& thread, int block) {
  if (thread.block->rank() == block) return;
  const size_t who = number(thread);
  ends_[static_cast<size_t>(block)].arrivals.raise(who, doing(thread).clock.of(who));
}

void Later::end(const Thread& thread) {
  if (!active_) return;
  Doing& self = doing(thread);
  if (self.products > self.over) fail_at_once("ended and has not waited for its products");
  const int rank = thread.block->rank();
  ends_[static_cast<size_t>(rank)].known.join(self.clock);
  for (int i = 0; i < thread.block->n_threads(); ++i) {
    if (!thread.block->thread(i).done) return;
  }
  end_block(rank);
}

// The last thread has ended: nothing may come any more.
void Later::end_block(int rank) {
  End& end = ends_[static_cast<size_t>(rank)];
  end.over = true;
  if (settings().races && !end.known.covers(end.arrivals)) {
    fail_at_once("was the last of its block, at whose barriers another one may still arrive");
  }
  for (const Copy& copy : copies_) {
    if (settings().races && copy.block == rank && !knows(end.known, copy)) {
      fail("was the last of its block, into which a copy may still come", copy.place);
    }
  }
  for (const auto& barrier : barriers_) {
    if (barrier->block == rank && barrier->bytes != 0) {
      fail_at_once("was the last of its block, whose barrier at " + at(barrier->offset) +
                   " lacks " + std::to_string(barrier->bytes) + " bytes");
    }
  }
  const Block& block = cluster_->block(rank);
  for (int i = 0; i < block.n_threads(); ++i) {
    const Thread& thread = block.thread(i);
    const Doing& one = doing(thread);
    const Thread& first = block.thread(i - i % (kWarp * kGroupWarps));
    if (one.registers != doing(first).registers) {
      fail_at_once(
          "was the last of its block, where not all warps of a warpgroup called "
          "registers_for_few or registers_for_many");
    }
    const Warpgroup& group = warpgroup(thread);
    if (one.steps != group.steps.size()) {
      fail("was the last of its block, where thread " + std::to_string(i) + " never came to " +
               group.steps[one.steps].name,
           group.steps[one.steps].place);
    }
  }
}

}  // namespace tamis::emulation
