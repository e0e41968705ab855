// For tests by ctypes. A function gives null, or the sentence of what failed.
#include <cstdint>
#include <exception>
#include <map>
#include <string>

#include "machine.h"

namespace {

thread_local std::string sentence;

template <class Work>
const char* guarded(Work&& work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    sentence = error.what();
    return sentence.c_str();
  }
}

}  // namespace

extern "C" {

// Executes a kernel of a PTX text. sizes: of grid, block and cluster, x y z each. arguments: one
// pointer per parameter, to as many bytes as it has.
[[gnu::visibility("default")]] const char* ptx_run(const char* text, const char* name,
                                                   const uint32_t* sizes, uint64_t shared_bytes,
                                                   const void* const* arguments,
                                                   int64_t n_arguments, uint64_t seed) {
  return guarded([&] {
    const auto kernels = ptx::parse(text);
    const auto found = kernels.find(name);
    if (found == kernels.end()) throw ptx::Error("there is no kernel " + std::string(name));
    const ptx::Kernel& kernel = found->second;
    if (kernel.parameter_sizes.size() != static_cast<size_t>(n_arguments)) {
      throw ptx::Error("the kernel has " + std::to_string(kernel.parameter_sizes.size()) +
                       " parameters");
    }
    const auto parameters = ptx::packed(kernel, arguments);
    ptx::Launch launch;
    launch.kernel = &kernel;
    launch.grid = {sizes[0], sizes[1], sizes[2]};
    launch.block = {sizes[3], sizes[4], sizes[5]};
    launch.cluster = {sizes[6], sizes[7], sizes[8]};
    launch.shared_bytes = shared_bytes;
    launch.parameters = parameters.data()->bytes;
    launch.seed = seed;
    ptx::run(launch);
  });
}

}  // extern "C"
