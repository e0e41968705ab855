// What the instructions of memory share: addresses, and what their words say. Global and generic
// addresses are the host's.
#pragma once

#include <cstring>
#include <string>

#include "arithmetic.h"

namespace ptx {

Execute find_atomic(const Instruction&);  // atom, red

// kCluster: shared memory of any block of the cluster, kShared: of the own one.
enum class Space : uint8_t { kGeneric, kGlobal, kShared, kCluster, kParameter };

// No memory lies below the one or at or above the other.
constexpr uint64_t kLowest = 1 << 16, kEnd = uint64_t{1} << 47;

// The addresses of an operand in the lanes, as pointers to so many bytes at once.
template <Space space>
class Places {
 public:
  Places(Warp& warp, const Instruction& instruction, const Operand& operand, size_t bytes)
      : warp_(warp),
        instruction_(instruction),
        base_(warp, operand.parts[0]),
        offset_(operand.bits),
        bytes_(bytes) {}

  uint8_t* operator[](int lane) const {
    const uint64_t address = base_[lane] + offset_;
    if constexpr (space == Space::kShared || space == Space::kCluster) {
      const uint64_t named = address >> 24 & 0xff;  // as mapa leaves it
      if (space == Space::kShared && named != 0 && named != warp_.block.rank + 1) {
        instruction_.refuse("shared memory of another block");
      }
      return warp_.block.shared(static_cast<uint32_t>(address), bytes_, bytes_);
    } else if constexpr (space == Space::kParameter) {
      return parameter(address);
    } else {
      check(address);
      return reinterpret_cast<uint8_t*>(address);
    }
  }

 private:
  uint8_t* parameter(uint64_t offset) const {
    const Launch& launch = warp_.block.launch;
    const uint64_t end = launch.kernel->parameter_bytes;
    if (offset > end || end - offset < bytes_) instruction_.refuse("it is past the parameters");
    if (offset % bytes_ != 0) instruction_.refuse("a parameter's address is not aligned");
    return const_cast<uint8_t*>(launch.parameters + offset);
  }
  void check(uint64_t address) const {
    if (address < kLowest || address >= kEnd) {
      instruction_.refuse("there is no memory at " + std::to_string(address));
    }
    if (address % bytes_ != 0) {
      instruction_.refuse("address " + std::to_string(address) + " is not a multiple of " +
                          std::to_string(bytes_));
    }
  }

  Warp& warp_;
  const Instruction& instruction_;
  const Source base_;
  const uint64_t offset_;
  const size_t bytes_;
};

template <class T>
T read(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
void write(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

// What words say of a memory instruction; known is false where there are others.
struct Access {
  Space space = Space::kGeneric;
  size_t count = 1;  // v2, v4, v8
  bool known = true;
  std::string operation;  // of atom and red
  explicit Access(const Instruction& instruction);

 private:
  void take(const std::string& word);
};

template <class Make>
Execute by_space(Space space, Make make) {
  switch (space) {
    case Space::kGlobal:
      return make.template operator()<Space::kGlobal>();
    case Space::kShared:
      return make.template operator()<Space::kShared>();
    case Space::kCluster:
      return make.template operator()<Space::kCluster>();
    case Space::kParameter:
      return make.template operator()<Space::kParameter>();
    default:
      return make.template operator()<Space::kGeneric>();
  }
}

bool is_address(const Operand& operand);
// One that has a value, or a vector of so many.
bool is_value(const Operand& operand, size_t count);

}  // namespace ptx
