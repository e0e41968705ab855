#include "block.h"

#include <algorithm>
#include <cstring>

#include "cluster.h"

namespace tamis::emulation {
namespace {

// NaN as float16, float32 and float64. A guard zone differs from shared memory that was not
// written, so that writing either pattern is seen.
constexpr unsigned char kPoison = 0xff;
constexpr uint16_t kGuard = 0xfffb;
constexpr size_t kGuardBytes = 1024;
constexpr size_t kAlignment = 1024;  // of shared memory

bool same_text(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

}  // namespace

std::string words(const Index& i) {
  return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}

std::string words(const Place& place) {
  const std::string path = place.file;
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(place.line);
}

void Block::prepare(Cluster& cluster, const Launch& launch, const Index& index, int rank) {
  cluster_ = &cluster;
  launch_ = &launch;
  index_ = index;
  rank_ = rank;
  while (threads_.size() < static_cast<size_t>(launch.threads)) {
    threads_.push_back(std::make_unique<Thread>());
  }
  for (int i = 0; i < launch.threads; ++i) {
    Thread& thread = *threads_[static_cast<size_t>(i)];
    thread.index.x = static_cast<unsigned>(i);
    thread.block = this;
    thread.number = i;
    thread.lane = i % kWarp;
    thread.warp = i / kWarp;
    thread.accesses = &accesses_;
    thread.done = false;
    thread.steps = 0;
    thread.waits_at = nullptr;
    thread.groups.assign(1, {});
  }
  warps_.assign(static_cast<size_t>(launch.threads / kWarp), {});
  everyone_ = {};

  shared_.resize(launch.shared_bytes + 2 * kGuardBytes + kAlignment);
  const auto start = reinterpret_cast<uintptr_t>(shared_.data()) + kGuardBytes;
  front_ = kGuardBytes + (kAlignment - start % kAlignment) % kAlignment;
  for (size_t i = 0; i + 1 < shared_.size(); i += 2) {
    std::memcpy(shared_.data() + i, &kGuard, sizeof kGuard);
  }
  std::memset(shared(), kPoison, launch.shared_bytes);
  const size_t plane = static_cast<size_t>(launch.grid.x) * launch.grid.y;
  accesses_.begin(shared(), launch.shared_bytes, kGuardBytes, launch.threads / kWarp,
                  index.x + static_cast<size_t>(launch.grid.x) * index.y + plane * index.z);
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
  const bool of_warp = std::any_of(warps_.begin(), warps_.end(), [&](const auto& meetings) {
    return std::any_of(meetings.begin(), meetings.end(), [&](const Meeting& m) {
      return std::find(m.waiting.begin(), m.waiting.end(), &first) != m.waiting.end();
    });
  });
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
  std::string sentence = "block " + words(index_) + " cannot go on: " + std::to_string(waiting) +
                         " threads, the first of them " + std::to_string(first.number) +
                         ", wait at " + first.waits_at + " (" + words(first.place) + ")" +
                         first.detail + cluster_->later().missing(first);
  if (elsewhere != nullptr) {
    sentence += ", thread " + std::to_string(elsewhere->number) + " waits at " +
                elsewhere->waits_at + " (" + words(elsewhere->place) + ")";
  }
  if (gone != nullptr) sentence += ", thread " + std::to_string(gone->number) + " has ended";
  return sentence;
}

void Block::check_guards() const {
  for (size_t i = 0; i < shared_.size(); ++i) {
    if (i == front_) i += launch_->shared_bytes;
    if (i >= shared_.size() - shared_.size() % 2) break;
    const unsigned char expected = reinterpret_cast<const unsigned char*>(&kGuard)[i % 2];
    if (shared_[i] == expected) continue;
    const auto offset = static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(front_);
    throw Fault("block " + words(index_) + " wrote to offset " + std::to_string(offset) +
                " of its " + std::to_string(launch_->shared_bytes) + " bytes of shared memory");
  }
}

// The running thread arrives; it returns once all of the expected ones have.
void Block::meet(Meeting& meeting, int expected, int slot, void* operand, Act act) {
  running->steps = 0;
  meeting.operands[static_cast<size_t>(slot)] = operand;
  if (++meeting.arrived < expected) {
    meeting.waiting.push_back(running);
    cluster_->wait(meeting.name, meeting.place);
    return;
  }
  if (act != nullptr) {
    act(meeting.operands.data(), static_cast<int>(meeting.operands.size()));
  }
  const bool of_block = &meeting == &everyone_;
  const bool is_barrier = of_block || act == nullptr;  // __syncwarp: shuffles order nothing
  if (of_block) accesses_.pass_barrier();
  if (!of_block && is_barrier && meeting.mask == kAllLanes) {
    accesses_.pass_warp_barrier(running->warp);
  }
  for (Thread* thread : meeting.waiting) cluster_->go_on(*thread);
  if (is_barrier && cluster_->later().is_active()) {
    meeting.waiting.push_back(running);
    cluster_->later().meet(meeting.waiting);
  }
  meeting.waiting.clear();
  meeting.arrived = 0;
  meeting.name = nullptr;
}

void Block::join(Meeting& meeting, const char* name, uint32_t mask, const Place& place,
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
    cluster_->fail(sentence);
  }
}

void Block::meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place) {
  const int lane = running->lane;
  if ((mask >> lane & 1) == 0) {
    cluster_->fail(std::string("called ") + name + " (" + words(place) +
                   ") with a mask without its lane");
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
  join(*found, name, mask, place, kWarp);
  meet(*found, __builtin_popcount(mask), lane, operand, act);
}

void Block::meet_block(const char* name, void* operand, Act act, const Place& place) {
  join(everyone_, name, 0, place, static_cast<size_t>(launch_->threads));
  meet(everyone_, launch_->threads, running->number, operand, act);
}

unsigned char* shared_memory() { return running->block->shared(); }

void check_shared(const void* at, size_t bytes, const char* what, const Place& place) {
  const auto address = reinterpret_cast<uintptr_t>(at);
  const auto begin = reinterpret_cast<uintptr_t>(running->block->shared());
  if (address < begin || address + bytes > begin + running->block->shared_bytes()) {
    fail(std::string("gave ") + what + " an address outside of shared memory", place);
  }
  if (address % bytes != 0) fail(std::string("gave ") + what + " a misaligned address", place);
}

void meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place) {
  running->block->meet_warp(name, mask, operand, act, place);
}

void meet_block(const char* name, void* operand, Act act, const Place& place) {
  running->block->meet_block(name, operand, act, place);
}

}  // namespace tamis::emulation
