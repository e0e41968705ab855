// A PTX file as data: its kernels, their registers, and their instructions with decoded operands.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace ptx {

class Warp;

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// With the line and the text of an instruction.
struct Refusal : Error {
  using Error::Error;
};

using Lanes = uint32_t;  // a bit per lane of a warp

struct Operand {
  enum Kind : uint8_t {
    kNothing,    // _, and what is not there
    kRegister,   // slot
    kConstant,   // bits
    kSpecial,    // special: %tid.x and the like
    kParameter,  // bits: the offset in the kernel's parameters
    kShared,     // bits: the address of a name in shared memory
    kAddress,    // [parts[0] + bits], and parts[1] where it is [base, {coordinates}]
    kVector,     // {parts...}
    kPair,       // parts[0] | parts[1]
  };
  enum Special : uint8_t {
    kTidX,
    kTidY,
    kTidZ,
    kNtidX,
    kNtidY,
    kNtidZ,
    kCtaidX,
    kCtaidY,
    kCtaidZ,
    kNctaidX,
    kNctaidY,
    kNctaidZ,
    kLaneid,
    kWarpid,
    kClusterCtarank,
    kClusterNctarank,
    kClusterCtaidX,
    kClusterCtaidY,
    kClusterCtaidZ,
    kClusterNctaidX,
    kClusterNctaidY,
    kClusterNctaidZ,
    kGlobaltimer,
    kClock64,
    kLanemaskLt,
    kLanemaskLe,
    kLanemaskGt,
    kLanemaskGe,
    kLanemaskEq,
    kDynamicSmemSize,
  };

  Kind kind = kNothing;
  Special special = kTidX;
  bool negated = false;  // !%p
  int32_t slot = -1;     // of Warp's registers
  uint64_t bits = 0;     // of a constant: 64 bits as written; 0f... has its float's 32 bits
  std::vector<Operand> parts;
};

// What became of an instruction.
enum class Outcome : uint8_t {
  kDone,
  kYield,  // done, but others should run before the next one: somebody waits in a loop
  kTold,   // done, and others may now go on: whether they or the next one is first is open
  kAgain,  // nothing was done: it waits for others
};

struct Instruction;
// For the lanes that are set, all of them at this instruction. Lanes whose guard does not hold are
// not among them.
using Execute = Outcome (*)(Warp&, const Instruction&, Lanes);

struct Instruction {
  // Whom it waits for before it is executed.
  enum Gather : uint8_t {
    kNobody,
    kMask,  // the lanes of the membermask, which is operands.back()
    kWarp,  // all lanes that have not ended (.aligned)
  };

  std::vector<std::string> words;  // setp.lt.f32: setp, lt, f32; a :: does not divide
  std::vector<Operand> operands;   // in the order of the text
  int32_t guard = -1;              // the slot of @%p
  bool guard_negated = false;
  enum Flow : uint8_t { kNext, kBranch, kEnd, kTrap } flow = kNext;
  int32_t target = -1;  // of a branch: an index of Kernel::code
  Gather gather = kNobody;
  Execute execute = nullptr;
  int line = 0;
  std::string text;

  bool has(const char* word) const;                        // among words, the first excepted
  [[noreturn]] void refuse(const std::string& why) const;  // Refusal
};

struct Kernel {
  std::string name;
  std::vector<Instruction> code;
  int32_t n_slots = 0;
  size_t parameter_bytes = 0;
  std::vector<size_t> parameter_offsets, parameter_sizes;
  size_t shared_bytes = 0;  // of its names, the array without a size excepted, which follows them
  int most_threads = 0;     // .maxntid, 0 where it is not said
  int most_registers = 0;   // of a thread: .maxnreg, 0 where it is not said
};

// Error where an instruction is unknown.
std::map<std::string, Kernel> parse(const std::string& text);

// Each knows some instructions, and gives null for the others. They may look at words and at the
// number and kind of operands, and set gather.
Execute find_arithmetic(Instruction&);    // add, fma, cvt, setp, selp, mov, shl, ...
Execute find_memory(Instruction&);        // ld, st, atom, cvta, mapa
Execute find_collective(Instruction&);    // shfl, vote, redux, bar, barrier.cluster, activemask
Execute find_matrix(Instruction&);        // ldmatrix, mma, wgmma
Execute find_asynchronous(Instruction&);  // cp.async, mbarrier, cp.async.bulk, fence, prefetch

}  // namespace ptx
