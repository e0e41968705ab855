// How tests call C++: functions of pointers, int64_t and double that return null or a sentence.
#pragma once

#include <exception>
#include <string>

#define TAMIS_EXPORT __attribute__((visibility("default")))

namespace tamis::emulation {

// The sentence of what `work` throws, until the thread's next call; null where it throws nothing.
template <class Work>
const char* guarded(const Work& work) {
  static thread_local std::string sentence;
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    sentence = error.what();
    return sentence.c_str();
  }
}

}  // namespace tamis::emulation
