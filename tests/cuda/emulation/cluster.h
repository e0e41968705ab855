// The emulation's own view of blocks that run together: who runs next, who waits for whom.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "access.h"
#include "block.h"
#include "later.h"

namespace tamis::emulation {

struct Meeting {
  const char* name = nullptr;  // null: nobody is there
  Place place;
  uint32_t mask = 0;
  int arrived = 0;
  std::vector<void*> operands;
  std::vector<Thread*> waiting;
};

class Cluster;

// A block's shared memory, and the meetings of its threads.
class Block {
 public:
  void prepare(Cluster& cluster, const Launch& launch, const Index& index, int rank);
  void meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place);
  void meet_block(const char* name, void* operand, Act act, const Place& place);
  void check_guards() const;
  // What the threads that never went on wait for, and who is missing; empty where none is.
  std::string deadlock() const;

  Cluster& cluster() const { return *cluster_; }
  const Index& index() const { return index_; }
  int rank() const { return rank_; }  // in the cluster
  Thread& thread(int i) const { return *threads_[static_cast<size_t>(i)]; }
  int n_threads() const { return launch_->threads; }
  unsigned char* shared() { return shared_.data() + front_; }
  size_t shared_bytes() const { return launch_->shared_bytes; }
  SharedAccesses& accesses() { return accesses_; }

 private:
  void join(Meeting& meeting, const char* name, uint32_t mask, const Place& place, size_t operands);
  void meet(Meeting& meeting, int expected, int slot, void* operand, Act act);

  Cluster* cluster_ = nullptr;
  const Launch* launch_ = nullptr;
  Index index_;
  int rank_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<std::vector<Meeting>> warps_;  // meetings of disjoint masks
  Meeting everyone_;
  std::vector<unsigned char> shared_;
  size_t front_ = 0;
  SharedAccesses accesses_;
};

class Cluster {
 public:
  // Blocks first, first + 1, ... of x. Throws Fault.
  void run(const Launch& launch, const Index& first, uint64_t seed);
  [[noreturn]] void fail(const std::string& sentence);

  // The running thread waits until someone makes it go on; what, detail: what it waits for.
  void wait(const char* what, const Place& place, std::string detail = {});
  void go_on(Thread& thread);
  // Lets others run first, by chance.
  void pause();
  // All threads of all blocks but those that have ended.
  void meet_all(const char* name, const Place& place);

  Block& block(int rank) { return *blocks_[static_cast<size_t>(rank)]; }
  int size() const { return launch_->cluster; }
  Later& later() { return later_; }
  bool is_random() const { return seed_ != 0; }
  bool by_chance(unsigned one_in) { return is_random() && random_() % one_in == 0; }
  uint64_t random() { return is_random() ? random_() : 0; }

 private:
  static void enter(void* thread);
  void prepare(const Launch& launch, const Index& first, uint64_t seed);
  Thread* next();
  void end_meeting();
  void finish();

  const Launch* launch_ = nullptr;
  std::optional<Stacks> stacks_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Thread*> ready_;  // from first_ on
  size_t first_ = 0;
  std::vector<Thread*> met_;  // who waits for the rest of the cluster
  int alive_ = 0;             // threads
  Fiber scheduler_;
  Later later_;
  std::string fault_;
  uint64_t seed_ = 0;
  std::mt19937_64 random_;
};

std::string words(const Index& index);
std::string words(const Place& place);

}  // namespace tamis::emulation
