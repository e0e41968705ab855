// Products of a warpgroup: wgmma. Each warp computes its 16 rows when it issues one. The sums are
// kept aside until they are waited for: until then the registers hold what is no number, and
// must not be written, and what was read from shared memory must stay. A product is one of all four
// warps: whoever has waited for it knows that all have issued it, and that it has read everything.
#include <algorithm>
#include <cstdlib>

#include "lanes.h"
#include "matrix.h"
#include "matrix_descriptor.h"

namespace ptx {

inline constexpr uint64_t kNotYet = 0x7ff7dead7fbfdeadull;  // a NaN, as a float and as a double
inline constexpr uint64_t kRemembered = 64;
// Some groups take so many nanoseconds that meanwhile others can do what they should not.
inline constexpr uint64_t kLongestGroup = 1 << 14, kLongGroups = 16;  // one of so many

struct Products {
  // Registers that have been given to products, and what they will hold.
  struct Accumulators {
    std::vector<int32_t> slots;
    std::vector<Sums> sums;  // one per 4 registers
    uint64_t group = 0;      // of the last product
  };
  // What a product reads until it is waited for.
  struct Reads {
    const Instruction* instruction;
    std::vector<MatrixInMemory> matrices;
    std::vector<uint16_t> elements;
    std::vector<int32_t> slots;
    std::vector<uint32_t> registers;
    uint64_t group = 0;
    uint64_t number = 0;  // of all products of the warp
    uint64_t end = 0;     // of Cluster::now: the product is not done before
  };

  std::vector<Accumulators> accumulators;
  std::vector<Reads> reads;
  uint64_t n_groups = 0;           // that have been committed
  bool is_fenced = false;          // registers have been, and were not given back since
  uint64_t n_issued = 0;           // and the last of them, to compare the warps of a warpgroup
  uint64_t issued[kRemembered]{};  // [number % kRemembered]
};

namespace {

// Of an instruction's text.
struct Form {
  int n_columns;
  bool is_bfloat16, has_left_registers;
  const Operand& scale_d() const { return operands[3]; }
  const std::vector<Operand>& operands;
};

Form form_of(const Instruction& instruction) {
  const auto& words = instruction.words;
  return {std::atoi(words[4].c_str() + words[4].find('n') + 1), words[6] == "bf16",
          instruction.operands[1].kind == Operand::kVector, instruction.operands};
}

Products& products_of(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const int end = (warp.index / 4 + 1) * 4 * kLanes;
  if (lanes != kAll || static_cast<uint64_t>(end) > warp.block.launch.block.count()) {
    instruction.refuse("not all 128 threads of a warpgroup can execute it");
  }
  if (!warp.products) warp.products = std::make_shared<Products>();
  return *warp.products;
}

// All warps of a warpgroup issue the same products in the same order.
void compare_warps(Warp& warp, const Instruction& instruction, uint64_t what) {
  Products& own = *warp.products;
  for (int i = warp.index / 4 * 4; i < warp.index / 4 * 4 + 4; ++i) {
    const Warp& warp_of_group = *warp.block.warps[static_cast<size_t>(i)];
    const auto& other = warp_of_group.products;
    const uint64_t n_issued = other == nullptr ? 0 : other->n_issued;
    if (n_issued <= own.n_issued && warp_of_group.alive != kAll) {
      instruction.refuse("another warp of the warpgroup ended before");
    }
    if (n_issued <= own.n_issued || n_issued - own.n_issued > kRemembered) continue;
    if (other->issued[own.n_issued % kRemembered] != what) {
      instruction.refuse("another warp of the warpgroup issued another product instead");
    }
  }
  own.issued[own.n_issued++ % kRemembered] = what;
}

double sign_of(const Warp& warp, const Instruction& instruction, const Operand& operand) {
  const auto sign = static_cast<int64_t>(warp.value(operand, 0));
  if (sign != 1 && sign != -1) instruction.refuse("the sign of a matrix is not 1 or -1");
  return static_cast<double>(sign);
}

bool is_transposed(const Warp& warp, const Instruction& instruction, const Operand& operand) {
  const uint64_t bits = warp.value(operand, 0);
  if (bits > 1) instruction.refuse("what tells whether a matrix is transposed is not 0 or 1");
  return bits == 1;
}

// Of the accumulators of a product: those of an earlier one that has not been waited for.
Products::Accumulators& find_accumulators(Warp& warp, const Instruction& instruction) {
  Products& products = *warp.products;
  std::vector<int32_t> slots;
  for (const Operand& part : instruction.operands[0].parts) slots.push_back(part.slot);
  for (auto& known : products.accumulators) {
    if (known.slots == slots) return known;
    for (const int32_t slot : slots) {
      if (std::find(known.slots.begin(), known.slots.end(), slot) != known.slots.end()) {
        instruction.refuse("a product of another shape has some of these registers");
      }
    }
  }
  if (!products.is_fenced) instruction.refuse("there was no wgmma.fence before");
  Products::Accumulators taken;
  taken.sums.resize(slots.size() / 4);
  for (size_t i = 0; i < taken.sums.size(); ++i) {
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < kColumns; ++column) {
        const int32_t slot = slots[i * 4 + static_cast<size_t>(register_of(row, column))];
        const auto bits = static_cast<uint32_t>(warp.at(slot, lane_of(row, column)));
        taken.sums[i].at[row][column] = std::bit_cast<float>(bits);
      }
    }
  }
  for (const int32_t slot : slots)
    std::fill(&warp.at(slot, 0), &warp.at(slot, 0) + kLanes, kNotYet);
  taken.slots = std::move(slots);
  products.accumulators.push_back(std::move(taken));
  return products.accumulators.back();
}

std::vector<uint32_t> values_of(Warp& warp, const std::vector<int32_t>& slots) {
  std::vector<uint32_t> values;
  for (const int32_t slot : slots) {
    for (int lane = 0; lane < kLanes; ++lane) {
      values.push_back(static_cast<uint32_t>(warp.at(slot, lane)));
    }
  }
  return values;
}

// A, by rows of 16 elements, where it is not in registers; then B, by columns of 16.
Products::Reads read(Warp& warp, const Instruction& instruction, const Form& form) {
  const auto& operands = form.operands;
  Products::Reads reads;
  reads.instruction = &instruction;
  reads.group = warp.products->n_groups;
  if (form.has_left_registers) {
    for (const Operand& part : operands[1].parts) reads.slots.push_back(part.slot);
    reads.registers = values_of(warp, reads.slots);
  } else {
    reads.matrices.emplace_back(instruction, same<uint64_t>(warp, instruction, operands[1], kAll),
                                is_transposed(warp, instruction, operands[6]),
                                warp.index % 4 * kRows, kRows);
  }
  reads.matrices.emplace_back(instruction, same<uint64_t>(warp, instruction, operands[2], kAll),
                              is_transposed(warp, instruction, operands.back()), 0, form.n_columns);
  for (const auto& matrix : reads.matrices) matrix.append_to(warp.block, reads.elements);
  return reads;
}

void multiply(const Warp& warp, const Instruction& instruction, const Form& form,
              const Products::Reads& reads, std::vector<Sums>& sums) {
  const bool adds = (same<uint64_t>(warp, instruction, form.scale_d(), kAll) & 1) != 0;
  const double sign =
      sign_of(warp, instruction, form.operands[4]) * sign_of(warp, instruction, form.operands[5]);
  const float* values = half_values(form.is_bfloat16);
  const uint16_t* element = reads.elements.data();
  Left left;
  if (form.has_left_registers) {
    read_left(warp, form.operands[1], form.is_bfloat16, left);
  } else {
    for (auto& row : left.at) {
      for (double& value : row) value = values[*element++];
    }
  }
  for (auto& row : left.at) {
    for (double& value : row) value *= sign;
  }
  for (Sums& piece : sums) {
    Right right;
    for (int column = 0; column < kColumns; ++column) {
      for (auto& row : right.at) row[column] = values[*element++];
    }
    if (!adds) piece = Sums{};
    add_product(left, right, kDepth, piece);
  }
}

// D, A, B, scale-d, the signs of A and B, and whether they are transposed: A only in memory.
Outcome issue(Warp& warp, const Instruction& instruction, Lanes lanes) {
  Products& products = products_of(warp, instruction, lanes);
  const Form form = form_of(instruction);
  auto reads = read(warp, instruction, form);
  if (form.has_left_registers && !products.is_fenced) {
    instruction.refuse("there was no wgmma.fence before");
  }
  uint64_t what = same<uint64_t>(warp, instruction, form.operands[2], kAll);
  if (!form.has_left_registers) {
    what = what * 0x9e3779b97f4a7c15ull + same<uint64_t>(warp, instruction, form.operands[1], kAll);
  }
  reads.number = products.n_issued;
  compare_warps(warp, instruction,
                what * 0x9e3779b97f4a7c15ull + static_cast<uint64_t>(form.n_columns));
  auto& accumulators = find_accumulators(warp, instruction);
  multiply(warp, instruction, form, reads, accumulators.sums);
  accumulators.group = products.n_groups;
  products.reads.push_back(std::move(reads));
  return Outcome::kDone;
}

Outcome fence(Warp& warp, const Instruction& instruction, Lanes lanes) {
  products_of(warp, instruction, lanes).is_fenced = true;
  return Outcome::kDone;
}

Outcome commit(Warp& warp, const Instruction& instruction, Lanes lanes) {
  Products& products = products_of(warp, instruction, lanes);
  Cluster& cluster = warp.block.cluster;
  const bool is_long = cluster.draw() % kLongGroups == 0;
  const uint64_t end = is_long ? cluster.now + cluster.draw() % kLongestGroup : 0;
  for (auto& reads : products.reads) {
    if (reads.group == products.n_groups) reads.end = end;
  }
  ++products.n_groups;
  return Outcome::kDone;
}

// What the first products of a warp have read from shared memory: from now on it may be written.
void check_memory(Warp& warp, uint64_t n_products) {
  for (auto& reads : warp.products->reads) {
    if (reads.number >= n_products) continue;
    std::vector<uint16_t> elements;
    elements.reserve(reads.elements.size());
    for (const auto& matrix : reads.matrices) matrix.append_to(warp.block, elements);
    if (elements != reads.elements) {
      reads.instruction->refuse("what it reads was overwritten before it was waited for");
    }
    reads.matrices.clear();
    reads.elements.clear();
  }
}

// Whether so many products are done: all warps of the warpgroup have issued them, and time has
// passed.
bool are_done(const Warp& warp, const Instruction& instruction, uint64_t n_products) {
  bool all = true;
  for (int i = warp.index / 4 * 4; i < warp.index / 4 * 4 + 4; ++i) {
    const Warp& other = *warp.block.warps[static_cast<size_t>(i)];
    if (other.products == nullptr || other.products->n_issued < n_products) {
      if (other.alive != kAll) instruction.refuse("another warp of the warpgroup ended before");
      all = false;
      continue;
    }
    for (const auto& reads : other.products->reads) {
      if (reads.number < n_products && reads.end > warp.block.cluster.now) all = false;
    }
  }
  return all;
}

void write(Warp& warp, const Instruction& instruction, const Products::Accumulators& from) {
  for (size_t i = 0; i < from.sums.size(); ++i) {
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < kColumns; ++column) {
        const int32_t slot = from.slots[i * 4 + static_cast<size_t>(register_of(row, column))];
        uint64_t& to = warp.at(slot, lane_of(row, column));
        if (to != kNotYet) {
          instruction.refuse("a register of a product was written before that was waited for");
        }
        to = std::bit_cast<uint32_t>(from.sums[i].at[row][column]);
      }
    }
  }
}

// Until as many groups as it says are under way. Products of an open group are in none of them.
Outcome wait(Warp& warp, const Instruction& instruction, Lanes lanes) {
  Products& products = products_of(warp, instruction, lanes);
  const uint64_t most = warp.value(instruction.operands[0], 0);
  const auto has_ended = [&](const auto& of) { return of.group + most < products.n_groups; };
  uint64_t n_products = 0;
  for (const auto& reads : products.reads) {
    if (has_ended(reads)) n_products = reads.number + 1;
  }
  if (n_products > 0) {
    if (!are_done(warp, instruction, n_products)) return Outcome::kAgain;
    for (int i = warp.index / 4 * 4; i < warp.index / 4 * 4 + 4; ++i) {
      check_memory(*warp.block.warps[static_cast<size_t>(i)], n_products);
    }
  }
  for (const auto& reads : products.reads) {
    if (has_ended(reads) && values_of(warp, reads.slots) != reads.registers) {
      reads.instruction->refuse("a register that it reads was written before it was waited for");
    }
  }
  std::erase_if(products.reads, has_ended);
  for (const auto& accumulators : products.accumulators) {
    if (!has_ended(accumulators)) continue;
    write(warp, instruction, accumulators);
    products.is_fenced = false;
  }
  std::erase_if(products.accumulators, has_ended);
  return Outcome::kDone;
}

// .m64nNk16 with a type of 16 bits.
bool is_product(const Instruction& instruction) {
  const auto& words = instruction.words;
  const auto& operands = instruction.operands;
  if (words.size() != 8 || words[5] != "f32" || words[6] != words[7] ||
      (words[6] != "f16" && words[6] != "bf16") || !words[4].starts_with("m64n") ||
      !words[4].ends_with("k16")) {
    return false;
  }
  const int n = std::atoi(words[4].c_str() + 4);
  if (n < 8 || n > 256 || n % 8 != 0 || operands.size() < 7) return false;
  const bool has_registers = operands[1].kind == Operand::kVector;
  if (operands.size() != (has_registers ? 7 : 8)) return false;
  if (has_registers && operands[1].parts.size() != 4) return false;
  if (operands[0].parts.size() != static_cast<size_t>(n) / 2) return false;
  const auto& parts = operands[0].parts;
  return std::all_of(parts.begin(), parts.end(),
                     [](const Operand& part) { return part.kind == Operand::kRegister; });
}

}  // namespace

Execute find_wgmma(Instruction& instruction) {
  const auto& words = instruction.words;
  if (!instruction.has("sync") || !instruction.has("aligned")) return nullptr;
  instruction.gather = Instruction::kWarp;
  if (words[1] == "fence") return fence;
  if (words[1] == "commit_group") return commit;
  if (words[1] == "wait_group" && instruction.operands.size() == 1) return wait;
  if (words[1] == "mma_async" && is_product(instruction)) return issue;
  return nullptr;
}

}  // namespace ptx
