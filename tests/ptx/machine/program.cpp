#include "program.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <optional>

#include "machine.h"
#include "text.h"

namespace ptx {

bool Instruction::has(const char* word) const {
  return std::find(words.begin() + 1, words.end(), word) != words.end();
}

void Instruction::refuse(const std::string& why) const {
  throw Refusal("line " + std::to_string(line) + ", " + text + ": " + why);
}

namespace {

// What names mean: those of an inner scope hide others.
class Names {
 public:
  void open() { scopes_.emplace_back(); }
  void close() { scopes_.pop_back(); }
  void add(const std::string& name, Operand operand) {
    scopes_.back().names[name] = std::move(operand);
  }
  // %r<29>: %r0 to %r28
  void add_many(const std::string& prefix, int32_t count, int32_t first_slot) {
    scopes_.back().ranges[prefix] = {first_slot, count};
  }
  std::optional<Operand> find(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      const auto found = scope->names.find(name);
      if (found != scope->names.end()) return found->second;
      const size_t digits = name.find_last_not_of("0123456789") + 1;
      const auto range = scope->ranges.find(name.substr(0, digits));
      if (range == scope->ranges.end() || digits == name.size()) continue;
      const int number = std::atoi(name.c_str() + digits);
      if (number >= range->second.count) continue;
      Operand operand;
      operand.kind = Operand::kRegister;
      operand.slot = range->second.first + number;
      return operand;
    }
    return std::nullopt;
  }

 private:
  struct Range {
    int32_t first, count;
  };
  struct Scope {
    std::map<std::string, Operand> names;
    std::map<std::string, Range> ranges;
  };
  std::vector<Scope> scopes_{1};
};

struct Branch {
  size_t instruction;
  std::string label;
  std::vector<int> scopes;  // around it, by number
};

size_t size_of(const std::string& type, const Statement& statement) {
  const size_t digits = type.find_first_of("0123456789");
  if (digits == std::string::npos) statement.refuse("a type with a size was expected");
  return std::strtoul(type.c_str() + digits, nullptr, 10) / 8;
}

class Parser {
 public:
  explicit Parser(const std::string& text) : statements_(text) {}

  std::map<std::string, Kernel> parse() {
    std::map<std::string, Kernel> kernels;
    while (auto statement = statements_.next()) {
      if (statement->starts_with(".entry")) {
        Kernel kernel = parse_kernel(*statement);
        kernels[kernel.name] = std::move(kernel);
      } else if (statement->starts_with(".shared")) {
        add_shared(*statement, file_shared_);
      } else if (statement->end == '{') {
        statement->refuse("a kernel was expected");
      }  // .version, .target, ... say nothing that is needed
    }
    return kernels;
  }

 private:
  Kernel parse_kernel(const Statement& head);
  void add_parameters(const Statement& head, Kernel& kernel);
  void add_registers(const Statement& statement, Kernel& kernel);
  void add_shared(const Statement& statement, size_t& bytes);
  void add_instruction(const Statement& statement, Kernel& kernel);
  void open_scope();
  void resolve(const Branch& branch, Kernel& kernel) const;
  Operand operand(const std::string& text, const Statement& statement) const;
  Operand address(const std::string& text, const Statement& statement) const;
  Operand list(Operand::Kind kind, const std::string& text, char divider,
               const Statement& statement) const;

  Statements statements_;
  Names names_;
  size_t file_shared_ = 0;
  std::vector<int> scopes_;  // those that are open, by number
  int n_scopes_ = 0;
  std::map<std::pair<int, std::string>, int32_t> labels_;  // each scope has its own
  std::vector<Branch> branches_;
};

Kernel Parser::parse_kernel(const Statement& head) {
  Kernel kernel;
  kernel.shared_bytes = file_shared_;
  labels_.clear();
  branches_.clear();
  open_scope();
  add_parameters(head, kernel);
  int depth = 1;
  while (depth > 0) {
    const auto statement = statements_.next();
    if (!statement) head.refuse("the kernel does not end");
    if (statement->end == '{') {
      open_scope();
      ++depth;
    } else if (statement->end == '}') {
      names_.close();
      scopes_.pop_back();
      --depth;
    } else if (statement->end == ':') {
      labels_[{scopes_.back(), statement->text}] = static_cast<int32_t>(kernel.code.size());
    } else if (statement->starts_with(".reg")) {
      add_registers(*statement, kernel);
    } else if (statement->starts_with(".shared")) {
      add_shared(*statement, kernel.shared_bytes);
    } else if (statement->starts_with(".pragma") || statement->starts_with(".loc")) {
      continue;
    } else if (statement->text.starts_with(".")) {
      statement->refuse("this directive is not known");
    } else {
      add_instruction(*statement, kernel);
    }
  }
  for (const Branch& branch : branches_) resolve(branch, kernel);
  return kernel;
}

void Parser::open_scope() {
  names_.open();
  scopes_.push_back(n_scopes_++);
}

// The label of the innermost scope around the branch that has one.
void Parser::resolve(const Branch& branch, Kernel& kernel) const {
  Instruction& instruction = kernel.code[branch.instruction];
  for (auto scope = branch.scopes.rbegin(); scope != branch.scopes.rend(); ++scope) {
    const auto found = labels_.find({*scope, branch.label});
    if (found == labels_.end()) continue;
    instruction.target = found->second;
    return;
  }
  instruction.refuse("there is no such label");
}

// .entry name ( .param .u64 .ptr .align 1 a, .param .align 64 .b8 b[128] ) .maxntid 256, 1, 1
void Parser::add_parameters(const Statement& head, Kernel& kernel) {
  const size_t begin = head.text.find('('), name = head.text.find(".entry") + 6;
  const size_t end = begin == std::string::npos ? begin : head.text.find(')', begin);
  kernel.name = trimmed(head.text.substr(name, begin - name));
  const size_t most = head.text.find(".maxntid", name);
  if (most != std::string::npos) {
    kernel.most_threads = 1;
    for (const auto& part : divided(head.text.substr(most + 8), ',')) {
      const int number = std::atoi(part.c_str());
      if (number > 0) kernel.most_threads *= number;
    }
  }
  const size_t registers = head.text.find(".maxnreg", name);
  if (registers != std::string::npos) {
    kernel.most_registers = std::atoi(head.text.c_str() + registers + 8);
  }
  if (begin == std::string::npos) return;
  for (const auto& text : divided(head.text.substr(begin + 1, end - begin - 1), ',')) {
    const Declaration declared = declaration(text, head);
    const size_t bytes = size_of(declared.type, head) * declared.count;
    const size_t alignment = std::max(declared.alignment, size_of(declared.type, head));
    Operand operand;
    operand.kind = Operand::kParameter;
    operand.bits = (kernel.parameter_bytes + alignment - 1) / alignment * alignment;
    kernel.parameter_offsets.push_back(operand.bits);
    kernel.parameter_sizes.push_back(bytes);
    kernel.parameter_bytes = operand.bits + bytes;
    names_.add(declared.name, operand);
  }
}

// .reg .b32 %r<29>, there;
void Parser::add_registers(const Statement& statement, Kernel& kernel) {
  for (const auto& text : divided(statement.text, ',')) {
    const std::string name = words_of(text).back();
    const size_t angle = name.find('<');
    if (angle != std::string::npos) {
      const int count = std::atoi(name.c_str() + angle + 1);
      names_.add_many(name.substr(0, angle), count, kernel.n_slots);
      kernel.n_slots += count;
    } else {
      Operand operand;
      operand.kind = Operand::kRegister;
      operand.slot = kernel.n_slots++;
      names_.add(name, operand);
    }
  }
}

// .extern .shared .align 1024 .b8 name[]: what follows all names with a size.
void Parser::add_shared(const Statement& statement, size_t& bytes) {
  const Declaration declared = declaration(statement.text, statement);
  Operand operand;
  operand.kind = Operand::kShared;
  if (declared.count > 0) {
    const size_t size = size_of(declared.type, statement);
    const size_t alignment = std::max(declared.alignment, size);
    bytes = (bytes + alignment - 1) / alignment * alignment;
    operand.bits = kSharedBase + bytes;
    bytes += size * declared.count;
  } else {
    operand.bits = kDynamicShared;
  }
  names_.add(declared.name, operand);
}

void Parser::add_instruction(const Statement& statement, Kernel& kernel) {
  Instruction instruction;
  instruction.line = statement.line;
  instruction.text = statement.text;
  std::string text = statement.text;
  if (text[0] == '@') {
    const size_t end = text.find_first_of(" \t");
    instruction.guard_negated = text[1] == '!';
    const std::string name =
        text.substr(instruction.guard_negated ? 2 : 1, end - (instruction.guard_negated ? 2 : 1));
    const auto guard = names_.find(name);
    if (!guard || guard->kind != Operand::kRegister) instruction.refuse("no such predicate");
    instruction.guard = guard->slot;
    text = trimmed(text.substr(end));
  }
  const size_t end = std::min(text.find_first_of(" \t"), text.size());
  instruction.words = divided(text.substr(0, end), '.');
  const std::string rest = trimmed(text.substr(end)), &name = instruction.words[0];
  if (name == "bra") {
    instruction.flow = Instruction::kBranch;
    branches_.push_back({kernel.code.size(), rest, scopes_});
  } else if (name == "ret" || name == "exit") {
    instruction.flow = Instruction::kEnd;
  } else if (name == "trap") {
    instruction.flow = Instruction::kTrap;
  } else {
    for (const auto& part : divided(rest, ',')) {
      Operand next = operand(part, statement);
      if (next.kind == Operand::kVector && next.parts.size() == 1) next = Operand(next.parts[0]);
      instruction.operands.push_back(std::move(next));
    }
    for (const auto find :
         {find_arithmetic, find_memory, find_collective, find_matrix, find_asynchronous}) {
      if (instruction.execute == nullptr) instruction.execute = find(instruction);
    }
    if (instruction.execute == nullptr) instruction.refuse("this instruction is not known");
  }
  kernel.code.push_back(std::move(instruction));
}

Operand Parser::operand(const std::string& text, const Statement& statement) const {
  Operand result;
  if (text == "_") return result;
  if (text.starts_with("[")) return address(text.substr(1, text.size() - 2), statement);
  if (text.starts_with("{")) {
    return list(Operand::kVector, text.substr(1, text.size() - 2), ',', statement);
  }
  if (text.find('|') != std::string::npos) return list(Operand::kPair, text, '|', statement);
  if (text[0] == '!') {
    result = operand(trimmed(text.substr(1)), statement);
    result.negated = true;
    return result;
  }
  if (const auto found = names_.find(text)) return *found;
  if (const auto bits = constant(text)) {
    result.kind = Operand::kConstant;
    result.bits = *bits;
    return result;
  }
  if (const auto which = special_register(text)) {
    result.kind = Operand::kSpecial;
    result.special = *which;
    return result;
  }
  const size_t plus = text.find('+');
  if (plus != std::string::npos) {  // a name's address, further on
    result = operand(trimmed(text.substr(0, plus)), statement);
    result.bits += constant(trimmed(text.substr(plus + 1))).value();
    return result;
  }
  statement.refuse("nothing is known of " + text);
}

// base, base+offset, base-offset; base, {coordinates}
Operand Parser::address(const std::string& text, const Statement& statement) const {
  Operand result;
  result.kind = Operand::kAddress;
  const auto parts = divided(text, ',');
  const size_t sign = parts[0].find_first_of("+-", 1);
  result.parts.push_back(operand(trimmed(parts[0].substr(0, sign)), statement));
  if (sign != std::string::npos) {
    const auto bits = constant(trimmed(parts[0].substr(sign + 1)));
    if (!bits) statement.refuse("an offset was expected");
    result.bits = parts[0][sign] == '-' ? uint64_t{0} - *bits : *bits;
  }
  for (size_t i = 1; i < parts.size(); ++i) result.parts.push_back(operand(parts[i], statement));
  return result;
}

Operand Parser::list(Operand::Kind kind, const std::string& text, char divider,
                     const Statement& statement) const {
  Operand result;
  result.kind = kind;
  for (const auto& part : divided(text, divider)) result.parts.push_back(operand(part, statement));
  return result;
}

}  // namespace

std::map<std::string, Kernel> parse(const std::string& text) {
  auto kernels = Parser(text).parse();
  for (auto& [name, kernel] : kernels) {
    // Where the array without a size begins is known only now.
    const uint64_t dynamic = kSharedBase + (kernel.shared_bytes + 1023) / 1024 * 1024;
    for (auto& instruction : kernel.code) {
      for (auto& operand : instruction.operands) place_dynamic(operand, dynamic);
    }
  }
  return kernels;
}

}  // namespace ptx
