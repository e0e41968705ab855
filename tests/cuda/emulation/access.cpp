#include "access.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "block.h"
#include "later.h"

namespace tamis::emulation {
namespace {

// More than any thread needs between two meetings: it waits for what will never come.
constexpr int64_t kEndless = int64_t{1} << 25;

// The last write to a byte of device memory.
struct Write {
  uint32_t launch, block, epoch;  // all 0: none
  uint16_t warp_epoch, fences;
  int16_t thread;
  bool atomic;
};

struct Memory {
  uintptr_t begin, end;
  std::vector<Write> writes;  // by byte, once there is one
};

std::vector<Memory> memories;  // by begin; nobody adds any while a kernel runs
uint64_t memories_version = 0;
uint32_t launch_number = 0;
std::vector<uint16_t> fences;  // by block, of this launch

const char* verb(Access access) {
  return access == Access::read ? "read" : access == Access::write ? "wrote" : "changed";
}

// Whether the running thread may not build upon another one's write.
bool races(const Write& write, Access access) {
  const Thread& self = *running;
  const SharedAccesses& mine = *self.accesses;
  if (write.launch != launch_number || (write.atomic && access == Access::atomic)) return false;
  if (write.block != mine.block()) {
    return fences[write.block] == write.fences || fences[mine.block()] == 0;
  }
  if (write.thread == self.number || write.epoch != mine.epoch()) return false;
  return write.thread / kWarp != self.warp || write.warp_epoch == mine.warp_epoch(self.warp);
}

void check_races(Memory& memory, size_t offset, size_t bytes, Access access) {
  if (settings().host_threads > 1 || (access == Access::read && memory.writes.empty())) return;
  if (memory.writes.empty()) memory.writes.resize(memory.end - memory.begin);
  const Thread& self = *running;
  const SharedAccesses& mine = *self.accesses;
  for (size_t i = offset; i < offset + bytes; ++i) {
    Write& write = memory.writes[i];
    if (races(write, access)) {
      fail_at_once(std::string(verb(access)) + " offset " + std::to_string(offset) +
                   " of an array of " + std::to_string(memory.writes.size()) +
                   " bytes, which thread " + std::to_string(write.thread) + " of block number " +
                   std::to_string(write.block) + " wrote in the same launch");
    }
    if (access == Access::read) continue;
    write = {launch_number,
             static_cast<uint32_t>(mine.block()),
             mine.epoch(),
             mine.warp_epoch(self.warp),
             fences[mine.block()],
             static_cast<int16_t>(self.number),
             access == Access::atomic};
  }
}

// Nothing where the address is in no registered memory and in no zone.
void check_device(uintptr_t at, size_t bytes, Access access) {
  static thread_local Memory* last = nullptr;
  static thread_local uint64_t version = 0;
  const bool known = version == memories_version && last != nullptr;
  if (known && at >= last->begin && at + bytes <= last->end) {
    if (settings().races) check_races(*last, at - last->begin, bytes, access);
    return;
  }
  last = nullptr;
  version = memories_version;
  auto next = std::upper_bound(memories.begin(), memories.end(), at,
                               [](uintptr_t value, const Memory& m) { return value < m.begin; });
  if (next != memories.begin() && at < (next - 1)->end + kZone) --next;
  if (next == memories.end() || at + bytes + kZone <= next->begin) return;
  if (at >= next->begin && at + bytes <= next->end) {
    last = &*next;
    if (settings().races) check_races(*next, at - next->begin, bytes, access);
    return;
  }
  fail_at_once(std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at offset " +
               std::to_string(static_cast<int64_t>(at - next->begin)) + " of an array of " +
               std::to_string(next->end - next->begin) + " bytes");
}

}  // namespace

void add_memory(const void* begin, size_t bytes) {
  const auto start = reinterpret_cast<uintptr_t>(begin);
  memories.push_back({start, start + bytes, {}});
  std::sort(memories.begin(), memories.end(),
            [](const Memory& a, const Memory& b) { return a.begin < b.begin; });
  ++memories_version;
}

void forget_memory() {
  memories.clear();
  ++memories_version;
}

void begin_launch(size_t blocks) {
  ++launch_number;
  fences.assign(blocks, 0);
}

void pass_fence() {
  if (running != nullptr) ++fences[running->accesses->block()];
}

void touch(const void* address, size_t bytes, Access access) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  Thread* self = running;
  if (self == nullptr) return;
  if (++self->steps > kEndless) {
    self->steps = 0;  // string functions may be instrumented ones
    fail_at_once("went on for " + std::to_string(kEndless) + " accesses and met nobody");
  }
  if (at - self->stack < Stacks::kBytes) return;
  if (self->accesses->near(at)) {
    self->accesses->check(at, bytes, access);
  } else {
    check_device(at, bytes, access);
  }
}

void SharedAccesses::begin(unsigned char* shared, size_t bytes, size_t zone, int warps,
                           size_t block) {
  start_ = reinterpret_cast<uintptr_t>(shared) - zone;
  whole_ = bytes + 2 * zone;
  zone_ = zone;
  bytes_ = bytes;
  block_ = block;
  later_ = nullptr;
  ++epoch_;
  warp_epochs_.assign(static_cast<size_t>(warps), 0);
  if (marks_.size() < bytes) marks_.resize(bytes);
}

// Whether another thread left the mark, and no barrier came since.
bool SharedAccesses::races(const Mark& mark) const {
  if (mark.epoch != epoch_ || mark.who == running->number) return false;
  const int warp = running->warp;
  if (mark.who == -1) return true;
  if ((mark.who >= 0 ? mark.who / kWarp : -2 - mark.who) != warp) return true;
  return mark.warp_epoch == warp_epochs_[static_cast<size_t>(warp)];
}

void SharedAccesses::add(Mark& mark) const {
  const int warp = running->warp;
  const uint16_t warp_epoch = warp_epochs_[static_cast<size_t>(warp)];
  int who = running->number;
  if (mark.epoch == epoch_ && mark.who != who) {
    const bool same = mark.who != -1 && (mark.who >= 0 ? mark.who / kWarp : -2 - mark.who) == warp;
    if (!same) who = -1;
    if (same && mark.warp_epoch == warp_epoch) who = -2 - warp;
  }
  mark = {epoch_, warp_epoch, static_cast<int16_t>(who)};
}

void SharedAccesses::check(uintptr_t at, size_t bytes, Access access) {
  const uintptr_t offset = at - start_ - zone_;  // wraps where it is before
  if (offset > bytes_ || bytes > bytes_ - offset) {
    fail_at_once(std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at offset " +
                 std::to_string(static_cast<int64_t>(offset)) + " of " + std::to_string(bytes_) +
                 " bytes of shared memory");
  }
  if (later_ != nullptr && settings().races) later_->use(*running, offset, bytes, access);
  for (size_t i = offset; i < offset + bytes; ++i) {
    Byte& byte = marks_[i];
    const bool written = races(byte.write);
    const bool counted = access != Access::atomic && races(byte.atomic);
    const bool seen = access != Access::read && races(byte.read);
    if ((written || counted || seen) && settings().races) {
      const Mark& mark = written ? byte.write : counted ? byte.atomic : byte.read;
      const Access before = written ? Access::write : counted ? Access::atomic : Access::read;
      fail_at_once(std::string(verb(access)) + " offset " + std::to_string(offset) +
                   " of shared memory, which " +
                   (mark.who >= 0 ? "thread " + std::to_string(mark.who) : "other threads") + " " +
                   verb(before) + " with no barrier between");
    }
    add(access == Access::read ? byte.read : access == Access::write ? byte.write : byte.atomic);
  }
}

}  // namespace tamis::emulation

// What the compiler calls.

#define TAMIS_ACCESS(bytes)                                               \
  void __tsan_read##bytes(void* at) {                                     \
    tamis::emulation::touch(at, bytes, tamis::emulation::Access::read);   \
  }                                                                       \
  void __tsan_write##bytes(void* at) {                                    \
    tamis::emulation::touch(at, bytes, tamis::emulation::Access::write);  \
  }                                                                       \
  void __tsan_unaligned_read##bytes(void* at) { __tsan_read##bytes(at); } \
  void __tsan_unaligned_write##bytes(void* at) { __tsan_write##bytes(at); }

extern "C" {
TAMIS_ACCESS(1)
TAMIS_ACCESS(2)
TAMIS_ACCESS(4)
TAMIS_ACCESS(8)
TAMIS_ACCESS(16)
void __tsan_read_range(void* at, size_t bytes) {
  tamis::emulation::touch(at, bytes, tamis::emulation::Access::read);
}
void __tsan_write_range(void* at, size_t bytes) {
  tamis::emulation::touch(at, bytes, tamis::emulation::Access::write);
}
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  __tsan_read_range(const_cast<void*>(from), bytes);
  __tsan_write_range(to, bytes);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int byte, size_t bytes) {
  __tsan_write_range(to, bytes);
  return std::memset(to, byte, bytes);
}
// Of host code.
int __tsan_atomic32_load(const volatile int* at, int) {
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic32_store(volatile int* at, int value, int) {
  __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
