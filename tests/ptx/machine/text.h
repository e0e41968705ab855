// PTX as text: statements, lists, names and numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "program.h"

namespace ptx {

// Stands for the address of the array without a size until that is known.
inline constexpr uint64_t kDynamicShared = uint64_t{1} << 40;

struct Statement {
  std::string text;  // without what ended it
  char end = ';';    // ; { } or :
  int line = 0;

  // Its first word, .visible, .weak and .extern excepted.
  bool starts_with(const std::string& word) const;
  [[noreturn]] void refuse(const std::string& why) const;
};

// In turn, without comments. Braces inside of an instruction are its own.
class Statements {
 public:
  explicit Statements(const std::string& text);
  std::optional<Statement> next();

 private:
  bool is_scope(const std::string& before) const;

  std::string text_;
  size_t at_ = 0;
  int line_ = 1;
};

// .param .align 64 .b8 name[128]; count: 1 without brackets, 0 where they are empty.
struct Declaration {
  std::string type, name;
  size_t alignment = 1, count = 1;
};
Declaration declaration(const std::string& text, const Statement& statement);

std::string trimmed(const std::string& text);
// At each divider outside of brackets and braces; nothing for an empty text.
std::vector<std::string> divided(const std::string& text, char divider);
std::vector<std::string> words_of(const std::string& text);

// A number: 12, -1, 0x1f, 0f3F800000, 0d3FF0000000000000.
std::optional<uint64_t> constant(const std::string& text);
std::optional<Operand::Special> special_register(const std::string& text);

// kDynamicShared becomes the address.
void place_dynamic(Operand& operand, uint64_t address);

}  // namespace ptx
