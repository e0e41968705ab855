#include "cluster.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <thread>

constinit thread_local tamis::emulation::Index gridDim, blockDim;

namespace tamis::emulation {

constinit thread_local Thread* running = nullptr;
constinit thread_local Index block_index;

Settings& settings() {
  static Settings current;
  return current;
}

void Cluster::enter(void* thread) {
  Thread& self = *static_cast<Thread*>(thread);
  Cluster& cluster = self.block->cluster();
  try {
    cluster.launch_->body(cluster.launch_->kernel, cluster.launch_->arguments);
  } catch (const std::exception& error) {
    cluster.fail(std::string("threw: ") + error.what());
  }
  self.done = true;
  cluster.later_.end(self);
  --cluster.alive_;
  cluster.end_meeting();
  self.fiber.switch_to(cluster.scheduler_);
  std::abort();
}

void Cluster::prepare(const Launch& launch, const Index& first, uint64_t seed) {
  launch_ = &launch;
  seed_ = seed;
  random_.seed(seed);
  const int threads = launch.threads * launch.cluster;
  if (!stacks_ || stacks_->count() < threads) stacks_.emplace(threads);
  while (blocks_.size() < static_cast<size_t>(launch.cluster)) {
    blocks_.push_back(std::make_unique<Block>());
  }
  ready_.clear();
  first_ = 0;
  met_.clear();
  alive_ = threads;
  fault_.clear();
  for (int rank = 0; rank < launch.cluster; ++rank) {
    const Index index{first.x + static_cast<unsigned>(rank), first.y, first.z};
    block(rank).prepare(*this, launch, index, rank);
    for (int i = 0; i < launch.threads; ++i) {
      Thread& thread = block(rank).thread(i);
      void* stack = stacks_->stack(rank * launch.threads + i);
      thread.stack = reinterpret_cast<uintptr_t>(stack);
      thread.fiber.start(stack, Stacks::kBytes, enter, &thread);
      ready_.push_back(&thread);
    }
  }
  later_.begin(*this, launch);
}

// Who goes on. Copies land by chance, and when nobody can go on without them.
Thread* Cluster::next() {
  while (later_.any_on_the_way() && (first_ == ready_.size() || by_chance(4))) {
    later_.land(random());
  }
  if (first_ == ready_.size()) return nullptr;
  if (seed_ != 0) {
    std::swap(ready_[first_], ready_[first_ + random_() % (ready_.size() - first_)]);
  }
  Thread* chosen = ready_[first_++];
  if (first_ > 4096) {
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
  return chosen;
}

void Cluster::run(const Launch& launch, const Index& first, uint64_t seed) {
  prepare(launch, first, seed);
  gridDim = launch.grid;
  blockDim = {static_cast<unsigned>(launch.threads), 1, 1};
  while (Thread* thread = next()) {
    running = thread;
    block_index = thread->block->index();
    scheduler_.switch_to(thread->fiber);
    running = nullptr;
    if (!fault_.empty()) throw Fault(fault_);
  }
  for (int rank = 0; rank < size(); ++rank) {
    const std::string sentence = block(rank).deadlock();
    if (!sentence.empty()) throw Fault(sentence);
    block(rank).check_guards();
  }
}

void Cluster::fail(const std::string& sentence) {
  if (running == nullptr) throw Fault(sentence);
  fault_ = "thread " + std::to_string(running->number) + " of block " +
           words(running->block->index()) + " " + sentence;
  running->fiber.switch_to(scheduler_);  // for good
  std::abort();
}

void Cluster::wait(const char* what, const Place& place, std::string detail) {
  Thread& self = *running;
  self.steps = 0;
  self.waits_at = what;
  self.place = place;
  self.detail = std::move(detail);
  self.fiber.switch_to(scheduler_);
}

void Cluster::go_on(Thread& thread) {
  thread.waits_at = nullptr;
  ready_.push_back(&thread);
}

void Cluster::pause() {
  if (!by_chance(4)) return;
  ready_.push_back(running);
  running->fiber.switch_to(scheduler_);
}

void Cluster::meet_all(const char* name, const Place& place) {
  Thread& self = *running;
  self.steps = 0;
  met_.push_back(&self);
  self.waits_at = name;
  end_meeting();
  if (self.waits_at == nullptr) return;
  wait(name, place);
}

// The running thread is the last to come, or has ended: the others go on.
void Cluster::end_meeting() {
  if (met_.empty() || static_cast<int>(met_.size()) < alive_) return;
  if (later_.is_active()) later_.meet(met_);
  for (int rank = 0; rank < size(); ++rank) block(rank).accesses().pass_barrier();
  for (Thread* thread : met_) {
    if (thread == running) {
      thread->waits_at = nullptr;
    } else {
      go_on(*thread);
    }
  }
  met_.clear();
}

void fail_at_once(const std::string& sentence) {
  if (running == nullptr) throw Fault("code of a kernel ran outside of one: " + sentence);
  running->block->cluster().fail(sentence);
}

void fail(const std::string& sentence, const Place& place) {
  fail_at_once(sentence + " (" + words(place) + ")");
}

void run(const Launch& launch) {
  const Index& grid = launch.grid;
  const uint64_t seed = settings().seed;
  const uint64_t across = grid.x / static_cast<unsigned>(launch.cluster), plane = across * grid.y;
  std::vector<uint64_t> order(plane * grid.z);
  std::iota(order.begin(), order.end(), uint64_t{0});
  std::mt19937_64 random(seed);
  begin_launch(order.size() * static_cast<uint64_t>(launch.cluster));
  if (seed != 0) std::shuffle(order.begin(), order.end(), random);

  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::string fault;
  const auto work = [&] {
    static thread_local Cluster cluster;
    for (size_t i = next++; i < order.size(); i = next++) {
      const uint64_t n = order[i];
      const Index first{static_cast<unsigned>(n % across) * static_cast<unsigned>(launch.cluster),
                        static_cast<unsigned>(n % plane / across),
                        static_cast<unsigned>(n / plane)};
      try {
        cluster.run(launch, first, seed == 0 ? 0 : seed * 0x9e3779b97f4a7c15ull + n + 1);
      } catch (const std::exception& error) {
        const std::lock_guard lock(mutex);
        if (fault.empty()) fault = error.what();
        next = order.size();
      }
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < settings().host_threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  if (!fault.empty()) throw Fault(fault);
}

}  // namespace tamis::emulation
