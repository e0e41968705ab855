#include "text.h"

#include <cctype>
#include <cstdlib>
#include <map>

namespace ptx {

namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// The same length, and the same lines.
std::string without_comments(std::string text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] != '/' || (text[i + 1] != '/' && text[i + 1] != '*')) continue;
    const bool to_line_end = text[i + 1] == '/';
    size_t end = to_line_end ? text.find('\n', i) : text.find("*/", i + 2);
    end = end == std::string::npos ? text.size() : end + (to_line_end ? 0 : 2);
    for (; i < end; ++i) {
      if (text[i] != '\n') text[i] = ' ';
    }
  }
  return text;
}

}  // namespace

bool Statement::starts_with(const std::string& word) const {
  for (const auto& own : words_of(text)) {
    if (own == word) return true;
    if (own != ".visible" && own != ".weak" && own != ".extern") return false;
  }
  return false;
}

void Statement::refuse(const std::string& why) const {
  throw Error("line " + std::to_string(line) + ", " + text + ": " + why);
}

Statements::Statements(const std::string& text) : text_(without_comments(text)) {}

// Whether a brace after this text opens a scope, and is no vector of an instruction.
bool Statements::is_scope(const std::string& before) const {
  return before.empty() || before.find(".entry") != std::string::npos ||
         before.find(".func") != std::string::npos;
}

std::optional<Statement> Statements::next() {
  Statement statement;
  int depth = 0;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '\n') ++line_;
    if (statement.text.empty()) {
      if (is_space(c)) continue;
      statement.line = line_;
    }
    const bool whole_line =
        statement.text.starts_with(".version") || statement.text.starts_with(".target") ||
        statement.text.starts_with(".address_size") || statement.text.starts_with(".loc") ||
        statement.text.starts_with(".file");
    bool ends = false;
    if (depth == 0) {
      ends = c == ';' || (c == '{' && is_scope(trimmed(statement.text))) ||
             (c == '}' && statement.text.empty()) || (whole_line && c == '\n') ||
             (c == ':' && statement.text.find_first_of(" \t.") == std::string::npos &&
              text_[at_ + 1] != ':');
    }
    if (ends) {
      ++at_;
      statement.end = c == '\n' ? ';' : c;
      statement.text = trimmed(statement.text);
      return statement;
    }
    if (c == '{' || c == '(') ++depth;
    if (c == '}' || c == ')') --depth;
    statement.text += c == '\n' ? ' ' : c;
  }
  if (!trimmed(statement.text).empty()) statement.refuse("the text ends within a statement");
  return std::nullopt;
}

Declaration declaration(const std::string& text, const Statement& statement) {
  Declaration result;
  const auto words = words_of(text);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == ".align" && i + 1 < words.size()) {
      const size_t alignment = std::strtoul(words[++i].c_str(), nullptr, 10);
      // .ptr .align is that of what the parameter points to
      if (i < 2 || words[i - 2] != ".ptr") result.alignment = alignment;
    } else if (word[0] == '.') {
      if (word.find_first_of("0123456789") != std::string::npos) result.type = word.substr(1);
      if (word == ".ptr" && i + 1 < words.size() && words[i + 1] == ".align") i += 2;
    } else if (result.name.empty()) {
      result.name = word;
    }
  }
  const size_t bracket = result.name.find('[');
  if (bracket != std::string::npos) {
    result.count = std::strtoul(result.name.c_str() + bracket + 1, nullptr, 10);
    result.name.resize(bracket);
  }
  if (result.type.empty() || result.name.empty()) statement.refuse("this declares nothing");
  return result;
}

std::string trimmed(const std::string& text) {
  size_t begin = 0, end = text.size();
  while (begin < end && is_space(text[begin])) ++begin;
  while (end > begin && is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

std::vector<std::string> divided(const std::string& text, char divider) {
  std::vector<std::string> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[' || text[i] == '{') ++depth;
    if (text[i] == ']' || text[i] == '}') --depth;
    if (text[i] == divider && depth == 0) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (begin > 0 || !trimmed(text).empty()) parts.push_back(trimmed(text.substr(begin)));
  return parts;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (!is_space(c)) {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::optional<uint64_t> constant(const std::string& text) {
  const bool negative = text[0] == '-';
  const std::string digits = negative ? text.substr(1) : text;
  if (digits.empty() || std::isdigit(static_cast<unsigned char>(digits[0])) == 0) {
    return std::nullopt;
  }
  const bool is_float = digits.size() > 2 && digits[0] == '0' &&
                        std::string("fFdD").find(digits[1]) != std::string::npos;
  char* end = nullptr;
  const uint64_t bits = is_float ? std::strtoull(digits.c_str() + 2, &end, 16)
                                 : std::strtoull(digits.c_str(), &end, 0);
  while (*end == 'U' || *end == 'L') ++end;
  if (*end != '\0') return std::nullopt;
  return negative ? uint64_t{0} - bits : bits;
}

std::optional<Operand::Special> special_register(const std::string& text) {
  static const std::map<std::string, Operand::Special> known = {
      {"%tid.x", Operand::kTidX},
      {"%tid.y", Operand::kTidY},
      {"%tid.z", Operand::kTidZ},
      {"%ntid.x", Operand::kNtidX},
      {"%ntid.y", Operand::kNtidY},
      {"%ntid.z", Operand::kNtidZ},
      {"%ctaid.x", Operand::kCtaidX},
      {"%ctaid.y", Operand::kCtaidY},
      {"%ctaid.z", Operand::kCtaidZ},
      {"%nctaid.x", Operand::kNctaidX},
      {"%nctaid.y", Operand::kNctaidY},
      {"%nctaid.z", Operand::kNctaidZ},
      {"%laneid", Operand::kLaneid},
      {"%warpid", Operand::kWarpid},
      {"%cluster_ctarank", Operand::kClusterCtarank},
      {"%cluster_nctarank", Operand::kClusterNctarank},
      {"%cluster_ctaid.x", Operand::kClusterCtaidX},
      {"%cluster_ctaid.y", Operand::kClusterCtaidY},
      {"%cluster_ctaid.z", Operand::kClusterCtaidZ},
      {"%cluster_nctaid.x", Operand::kClusterNctaidX},
      {"%cluster_nctaid.y", Operand::kClusterNctaidY},
      {"%cluster_nctaid.z", Operand::kClusterNctaidZ},
      {"%globaltimer", Operand::kGlobaltimer},
      {"%clock64", Operand::kClock64},
      {"%lanemask_lt", Operand::kLanemaskLt},
      {"%lanemask_le", Operand::kLanemaskLe},
      {"%lanemask_gt", Operand::kLanemaskGt},
      {"%lanemask_ge", Operand::kLanemaskGe},
      {"%lanemask_eq", Operand::kLanemaskEq},
      {"%dynamic_smem_size", Operand::kDynamicSmemSize},
  };
  const auto found = known.find(text);
  if (found == known.end()) return std::nullopt;
  return found->second;
}

void place_dynamic(Operand& operand, uint64_t address) {
  if (operand.kind == Operand::kShared && operand.bits >= kDynamicShared) {
    operand.bits += address - kDynamicShared;
  }
  for (auto& part : operand.parts) place_dynamic(part, address);
}

}  // namespace ptx
