// What happens in a cluster of blocks later than it is asked for, copies and products, and who
// knows that it is over.
//
// A thread knows what it has done itself, what those knew that it met at __syncthreads, at
// __syncwarp or at cluster_sync, and what those knew that arrived at a barrier whose phase it has
// seen end. Whatever is used again must be known to be over, by every schedule: so faults are found
// where this run would have gone well.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "block.h"
#include "sm90.h"

namespace tamis::emulation {

class Cluster;

// How far somebody knows every thread, the products of every warp, and every barrier to have come.
class Clock {
 public:
  int32_t of(size_t part) const { return part < times_.size() ? times_[part] : 0; }
  void raise(size_t part, int32_t time);
  void join(const Clock& other);
  bool covers(const Clock& other) const;

 private:
  std::vector<int32_t> times_;
};

inline constexpr size_t kRowBytes = 128;  // of a box
inline constexpr size_t kBarrierBytes = 8;
inline constexpr int kGroupWarps = 4;  // of a warpgroup
inline constexpr int32_t kOnItsWay = 0x7fffffff;

// An mbarrier.
struct BarrierState {
  size_t part = 0;  // of clocks
  int block = 0;
  size_t offset = 0;
  int count = 0, missing = 0;  // arrivals
  int64_t bytes = 0;           // that are expected and have not come
  int32_t phase = 0;
  int owner = 0;         // the thread that made it
  int32_t ready_at = 0;  // on the owner's clock; 0: not yet
  Clock arrived, over;   // what those know who have arrived, and have by the end of the last phase
  std::vector<Thread*> waiting;
};

// A box for one block.
struct Copy {
  TensorMap map;
  int element = 0, row = 0;
  int block = 0;
  size_t offset = 0;  // in the block's shared memory
  BarrierState* barrier = nullptr;
  int32_t phase = kOnItsWay;  // of the barrier, that has the bytes
  Place place;
};

// 128 bytes of shared memory: a row of a box.
struct Row {
  struct Use {
    int thread;
    int32_t time;
  };
  size_t copy = 0;                 // the last one's number, from 1 on
  std::vector<Use> reads, writes;  // ordinary ones
  std::vector<int32_t> products;   // the last one of every warp that reads it
};

// Rows of shared memory, [first, first + n) * kRowBytes.
struct Rows {
  size_t first, n;
};

// The copies that brought what a warp's last product reads; its other lanes need not look again.
struct Reading {
  int32_t product = 0;
  uint64_t changes = 0;
  std::vector<size_t> copies;
};

struct Operands;
struct Series;

// An instruction of a warpgroup.
struct Step {
  const char* name;
  uint64_t a, b;
  int value;
  Place place;
};

struct Warpgroup {
  std::vector<Step> steps;
  std::map<int32_t, std::shared_ptr<Operands>> operands;  // by product
};

// What a thread does with products, and knows.
struct Doing {
  Clock clock;
  int32_t fenced = 0;  // its ordinary writes up to then are there for copies and products
  size_t steps = 0;    // of the warpgroup's
  int32_t products = 0, over = 0;
  std::vector<int32_t> groups;  // the last product of each that is not over
  std::vector<std::shared_ptr<Series>> series;
  std::vector<char> registers;  // asked for
};

// One that the running thread may use now; rank: of a block of the cluster.
BarrierState& usable_barrier(size_t offset, int rank, const char* name, const Place& place);

class Later {
 public:
  void begin(Cluster& cluster, const Launch& launch);
  bool is_active() const { return active_; }
  void activate();

  Doing& doing(const Thread& thread) { return *doing_[number(thread)]; }
  size_t number(const Thread& thread) const;  // in the cluster
  size_t part_of_warp(const Thread& thread) const;

  // Knowledge.
  void publish(const Thread& thread, Clock& to);
  void meet(const std::vector<Thread*>& threads);
  bool knows(const Clock& clock, const Copy& copy) const;

  // Barriers.
  BarrierState& make_barrier(const Thread& owner, size_t offset, int count);
  BarrierState* find_barrier(int block, size_t offset);
  std::vector<std::unique_ptr<BarrierState>>& barriers() { return barriers_; }
  void settle(BarrierState& barrier);
  std::string missing(const Thread& waiting) const;

  // Copies.
  void issue(const Copy& copy);
  bool any_on_the_way() const { return !on_the_way_.empty(); }
  void land(uint64_t choice);

  // Shared memory. Each fails where something else is not known to be over.
  void use(const Thread& thread, size_t offset, size_t bytes, Access access);
  void check_copy(const Thread& thread, const Copy& copy);
  void check_product(const Thread& thread, const Rows& a, const Rows& b, int32_t product,
                     const Place& place);

  Warpgroup& warpgroup(const Thread& thread);
  void note_arrival(const Thread& thread, int block);
  void end(const Thread& thread);
  void end_block(int block);
  bool has_ended(int block) const { return ends_[static_cast<size_t>(block)].over; }

 private:
  struct End {
    Clock arrivals;  // from other blocks
    Clock known;     // by threads that have ended
    bool over = false;
  };
  // Whether nothing but copies wrote the rows.
  bool read(const Thread& thread, const Rows& rows, int32_t product, const Place& place);
  bool is_there(const Row::Use& write, const Clock& clock) const;
  Row& row(int block, size_t i) { return rows_[static_cast<size_t>(block) * rows_per_block_ + i]; }

  Cluster* cluster_ = nullptr;
  const Launch* launch_ = nullptr;
  bool active_ = false;
  size_t n_threads_ = 0, n_warps_ = 0, rows_per_block_ = 0;
  std::vector<std::unique_ptr<Doing>> doing_;
  std::vector<std::unique_ptr<BarrierState>> barriers_;
  std::map<std::pair<int, size_t>, BarrierState*> by_place_;
  std::vector<Copy> copies_;
  std::vector<size_t> on_the_way_;  // of copies_
  std::vector<Row> rows_;
  uint64_t changes_ = 0;           // of rows, but for who reads them
  std::vector<Reading> readings_;  // by warp
  std::vector<Warpgroup> warpgroups_;
  std::vector<End> ends_;
};

}  // namespace tamis::emulation
