#include "block.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <thread>

namespace tamis::emulation {

constinit thread_local Thread* running = nullptr;
constinit thread_local Index block_index, grid_size, block_size;

Settings& settings() {
  static Settings current;
  return current;
}

namespace {

// NaN as float16, float32 and float64. A guard zone differs from shared memory that was not
// written, so that writing either pattern is seen.
constexpr unsigned char kPoison = 0xff;
constexpr uint16_t kGuard = 0xfffb;
constexpr size_t kGuardBytes = 1024;

std::string words(const Index& i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

std::string words(const Place& place) {
  const std::string path = place.file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(place.line);
}

bool same_text(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

struct Meeting {
  const char* name = nullptr;  // null: nobody is there
  Place place;
  uint32_t mask = 0;
  int arrived = 0;
  std::vector<void*> operands;
  std::vector<Thread*> waiting;
};

class Block {
 public:
  void run(const Launch& launch, const Index& index, uint64_t seed);
  void meet(Meeting& meeting, int expected, int slot, void* operand, Act act);
  void meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place);
  void meet_block(const char* name, void* operand, Act act, const Place& place);
  [[noreturn]] void fail(const std::string& sentence);

  unsigned char* shared() { return shared_.data() + front_; }
  size_t shared_bytes() const { return launch_->shared_bytes; }

 private:
  static void enter(void* thread);
  void prepare(const Launch& launch, size_t number, uint64_t seed);
  void check_guards();
  std::string deadlock() const;

  const Launch* launch_ = nullptr;
  std::optional<Stacks> stacks_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Thread*> ready_;  // from first_ on
  size_t first_ = 0;
  std::vector<std::vector<Meeting>> warps_;  // meetings of disjoint masks
  Meeting everyone_;
  Fiber scheduler_;
  std::vector<unsigned char> shared_;
  size_t front_ = 0;
  SharedAccesses accesses_;
  std::string fault_;
  std::mt19937_64 random_;
};

thread_local Block* current = nullptr;

void Block::enter(void* thread) {
  Thread& self = *static_cast<Thread*>(thread);
  Block& block = *current;
  try {
    block.launch_->body(block.launch_->kernel, block.launch_->arguments);
  } catch (const std::exception& error) {
    block.fail(std::string("threw: ") + error.what());
  }
  self.done = true;
  self.fiber.switch_to(block.scheduler_);
  std::abort();
}

void Block::prepare(const Launch& launch, size_t number, uint64_t seed) {
  launch_ = &launch;
  if (!stacks_ || stacks_->count() < launch.threads) stacks_.emplace(launch.threads);
  while (threads_.size() < static_cast<size_t>(launch.threads)) {
    threads_.push_back(std::make_unique<Thread>());
  }
  ready_.clear();
  first_ = 0;
  for (int i = 0; i < launch.threads; ++i) {
    Thread& thread = *threads_[static_cast<size_t>(i)];
    thread.index.x = static_cast<unsigned>(i);
    thread.number = i;
    thread.lane = i % kWarp;
    thread.warp = i / kWarp;
    thread.stack = reinterpret_cast<uintptr_t>(stacks_->stack(i));
    thread.accesses = &accesses_;
    thread.done = false;
    thread.steps = 0;
    thread.waits_at = nullptr;
    thread.groups.assign(1, {});
    thread.fiber.start(stacks_->stack(i), Stacks::kBytes, enter, &thread);
    ready_.push_back(&thread);
  }
  warps_.assign(static_cast<size_t>(launch.threads / kWarp), {});
  everyone_ = {};
  fault_.clear();
  random_.seed(seed);

  shared_.resize(launch.shared_bytes + 2 * kGuardBytes + 128);
  const auto start = reinterpret_cast<uintptr_t>(shared_.data()) + kGuardBytes;
  front_ = kGuardBytes + (128 - start % 128) % 128;
  for (size_t i = 0; i + 1 < shared_.size(); i += 2) {
    std::memcpy(shared_.data() + i, &kGuard, sizeof kGuard);
  }
  std::memset(shared(), kPoison, launch.shared_bytes);
  accesses_.begin(shared(), launch.shared_bytes, kGuardBytes, launch.threads / kWarp, number);
}

void Block::run(const Launch& launch, const Index& index, uint64_t seed) {
  const size_t plane = static_cast<size_t>(launch.grid.x) * launch.grid.y;
  prepare(launch, index.x + static_cast<size_t>(launch.grid.x) * index.y + plane * index.z, seed);
  current = this;
  block_index = index;
  grid_size = launch.grid;
  block_size = {static_cast<unsigned>(launch.threads), 1, 1};
  while (first_ < ready_.size()) {
    if (seed != 0) {
      std::swap(ready_[first_], ready_[first_ + random_() % (ready_.size() - first_)]);
    }
    running = ready_[first_++];
    if (first_ > 4096) {
      ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    scheduler_.switch_to(running->fiber);
    if (!fault_.empty()) break;
  }
  running = nullptr;
  current = nullptr;
  if (fault_.empty()) fault_ = deadlock();
  if (fault_.empty()) check_guards();
  if (!fault_.empty()) throw Fault(fault_);
}

// What the threads that never went on wait for, and who is missing.
std::string Block::deadlock() const {
  const auto end = threads_.begin() + launch_->threads;
  const auto stuck = std::find_if(threads_.begin(), end, [](const auto& t) { return !t->done; });
  if (stuck == end) return {};
  const Thread& first = **stuck;
  int waiting = 0;
  const Thread* elsewhere = nullptr;
  const Thread* gone = nullptr;
  const bool of_warp = std::string(first.waits_at).find("syncthreads") == std::string::npos;
  for (auto t = threads_.begin(); t != end; ++t) {
    const Thread& thread = **t;
    if (of_warp && thread.warp != first.warp) continue;
    if (thread.done) {
      gone = gone == nullptr ? &thread : gone;
    } else if (thread.waits_at == first.waits_at && thread.place.line == first.place.line) {
      ++waiting;
    } else {
      elsewhere = elsewhere == nullptr ? &thread : elsewhere;
    }
  }
  std::string sentence = "block " + words(block_index) +
                         " cannot go on: " + std::to_string(waiting) +
                         " threads, the first of them " + std::to_string(first.number) +
                         ", wait at " + first.waits_at + " (" + words(first.place) + ")";
  if (elsewhere != nullptr) {
    sentence += ", thread " + std::to_string(elsewhere->number) + " waits at " +
                elsewhere->waits_at + " (" + words(elsewhere->place) + ")";
  }
  if (gone != nullptr) sentence += ", thread " + std::to_string(gone->number) + " has ended";
  return sentence;
}

void Block::check_guards() {
  for (size_t i = 0; i < shared_.size(); ++i) {
    if (i == front_) i += launch_->shared_bytes;
    if (i >= shared_.size() - shared_.size() % 2) break;
    const unsigned char expected = reinterpret_cast<const unsigned char*>(&kGuard)[i % 2];
    if (shared_[i] == expected) continue;
    const auto offset = static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(front_);
    throw Fault("block " + words(block_index) + " wrote to offset " + std::to_string(offset) +
                " of its " + std::to_string(launch_->shared_bytes) + " bytes of shared memory");
  }
}

void Block::fail(const std::string& sentence) {
  fault_ = "thread " + std::to_string(running->number) + " of block " + words(block_index) + " " +
           sentence;
  running->fiber.switch_to(scheduler_);  // for good
  std::abort();
}

// The running thread arrives; it returns once all of the expected ones have.
void Block::meet(Meeting& meeting, int expected, int slot, void* operand, Act act) {
  running->steps = 0;
  meeting.operands[static_cast<size_t>(slot)] = operand;
  if (++meeting.arrived < expected) {
    Thread& self = *running;
    self.waits_at = meeting.name;
    self.place = meeting.place;
    meeting.waiting.push_back(&self);
    self.fiber.switch_to(scheduler_);
    return;
  }
  if (act != nullptr) {
    act(meeting.operands.data(), static_cast<int>(meeting.operands.size()));
  }
  if (&meeting == &everyone_) {
    accesses_.pass_barrier();
  } else if (act == nullptr && meeting.mask == kAllLanes) {  // __syncwarp: shuffles order nothing
    accesses_.pass_warp_barrier(running->warp);
  }
  for (Thread* thread : meeting.waiting) {
    thread->waits_at = nullptr;
    ready_.push_back(thread);
  }
  meeting.waiting.clear();
  meeting.arrived = 0;
  meeting.name = nullptr;
}

void join(Block& block, Meeting& meeting, const char* name, uint32_t mask, const Place& place,
          size_t operands) {
  if (meeting.name == nullptr) {
    meeting.name = name;
    meeting.place = place;
    meeting.mask = mask;
    meeting.operands.assign(operands, nullptr);
    return;
  }
  if (!same_text(meeting.name, name) || meeting.place.line != place.line ||
      !same_text(meeting.place.file, place.file) || meeting.mask != mask) {
    std::string sentence = std::string("came to ") + name + " (" + words(place) + "), but thread " +
                           std::to_string(meeting.waiting.front()->number) + " waits at " +
                           meeting.name + " (" + words(meeting.place) + ")";
    if (meeting.mask != mask) sentence += " with another mask";
    block.fail(sentence);
  }
}

void Block::meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place) {
  const int lane = running->lane;
  if ((mask >> lane & 1) == 0) {
    fail(std::string("called ") + name + " (" + words(place) + ") with a mask without its lane");
  }
  std::vector<Meeting>& meetings = warps_[static_cast<size_t>(running->warp)];
  const auto concerned = [&](const Meeting& m) {
    return m.name == nullptr || (m.mask & mask) != 0;
  };
  // An open meeting that shares a lane comes before an empty place.
  auto found = std::find_if(meetings.begin(), meetings.end(), [&](const Meeting& m) {
    return m.name != nullptr && (m.mask & mask) != 0;
  });
  if (found == meetings.end()) found = std::find_if(meetings.begin(), meetings.end(), concerned);
  if (found == meetings.end()) found = meetings.emplace(meetings.end());
  join(*this, *found, name, mask, place, kWarp);
  meet(*found, __builtin_popcount(mask), lane, operand, act);
}

void Block::meet_block(const char* name, void* operand, Act act, const Place& place) {
  join(*this, everyone_, name, 0, place, static_cast<size_t>(launch_->threads));
  meet(everyone_, launch_->threads, running->number, operand, act);
}

}  // namespace

void fail_at_once(const std::string& sentence) {
  if (current == nullptr) throw Fault("code of a kernel ran outside of one: " + sentence);
  current->fail(sentence);
}

void fail(const std::string& sentence, const Place& place) {
  fail_at_once(sentence + " (" + words(place) + ")");
}

unsigned char* shared_memory() { return current->shared(); }

void check_shared(const void* at, size_t bytes, const char* what, const Place& place) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const auto begin = reinterpret_cast<uintptr_t>(current->shared());
  if (address < begin || address + bytes > begin + current->shared_bytes()) {
    fail(std::string("gave ") + what + " an address outside of shared memory", place);
  }
  if (address % bytes != 0) fail(std::string("gave ") + what + " a misaligned address", place);
}

void meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place) {
  current->meet_warp(name, mask, operand, act, place);
}

void meet_block(const char* name, void* operand, Act act, const Place& place) {
  current->meet_block(name, operand, act, place);
}

void run(const Launch& launch) {
  const Index& grid = launch.grid;
  const uint64_t seed = settings().seed;
  std::vector<uint64_t> order(static_cast<size_t>(grid.x) * grid.y * grid.z);
  std::iota(order.begin(), order.end(), uint64_t{0});
  std::mt19937_64 random(seed);
  begin_launch(order.size());
  if (seed != 0) std::shuffle(order.begin(), order.end(), random);

  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::string fault;
  const auto work = [&] {
    static thread_local Block block;
    for (size_t i = next++; i < order.size(); i = next++) {
      const uint64_t n = order[i], plane = static_cast<uint64_t>(grid.x) * grid.y;
      const Index index{static_cast<unsigned>(n % grid.x),
                        static_cast<unsigned>(n % plane / grid.x),
                        static_cast<unsigned>(n / plane)};
      try {
        block.run(launch, index, seed == 0 ? 0 : seed * 0x9e3779b97f4a7c15ull + n + 1);
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
