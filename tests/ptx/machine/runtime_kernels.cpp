// Kernels: what the start of a program registers, and the PTX of which each one is a part.
#include <cuda_runtime_api.h>
#include <fatbinary_section.h>
#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime.h"

namespace ptx {

struct Image {
  std::vector<std::string> texts;  // one per architecture
  std::map<std::string, Kernel> kernels;
  bool parsed = false;
};

namespace {

// nvcc's container of device code: a head, and parts that each have one.
constexpr uint32_t kContainerMagic = 0xba55ed50;
constexpr uint16_t kPtx = 1;  // kinds of parts; others are machine code

struct ContainerHead {
  uint32_t magic;
  uint16_t version, head_bytes;
  uint64_t bytes;  // behind the head
};

struct PartHead {
  uint16_t kind, version;
  uint32_t head_bytes;
  uint64_t bytes;  // behind the head
};

// Never destroyed: the program unregisters its code while it ends.
struct Registry {
  std::recursive_mutex mutex;
  std::map<void*, std::unique_ptr<Image>> images;
  std::map<const void*, std::unique_ptr<Entry>> entries;  // by host function
};

Registry& registry() {
  static auto* const all = [] {
    // Else each launch gives the memory of its registers back, and most of the time goes into
    // getting it again, page by page.
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    return new Registry;
  }();
  return *all;
}

template <class Head>
Head read_head(const uint8_t* from) {
  Head head;
  std::memcpy(&head, from, sizeof(head));
  return head;
}

std::vector<std::string> texts_of(const void* registered) {
  const auto wrapper = read_head<__fatBinC_Wrapper_t>(static_cast<const uint8_t*>(registered));
  if (wrapper.magic != FATBINC_MAGIC || wrapper.version != FATBINC_VERSION) return {};
  const auto* at = reinterpret_cast<const uint8_t*>(wrapper.data);
  const auto container = read_head<ContainerHead>(at);
  if (container.magic != kContainerMagic) return {};
  at += container.head_bytes;
  std::vector<std::string> texts;
  for (const uint8_t* const end = at + container.bytes; at < end;) {
    const auto part = read_head<PartHead>(at);
    const auto* const text = reinterpret_cast<const char*>(at + part.head_bytes);
    if (part.kind == kPtx) texts.emplace_back(text, strnlen(text, part.bytes));
    at += part.head_bytes + part.bytes;
  }
  return texts;
}

// The number of .target sm_80, or 0 where this device does not execute it: one with a letter is for
// its own architecture alone.
int target_of(const std::string& text) {
  static const std::string word = ".target sm_";
  const size_t found = text.find(word);
  if (found == std::string::npos) return 0;  // compressed, too
  char* rest = nullptr;
  const long target = std::strtol(text.c_str() + found + word.size(), &rest, 10);
  const bool is_alone = *rest == 'a' || *rest == 'f';
  return target <= capability() && (!is_alone || target == capability()) ? static_cast<int>(target)
                                                                         : 0;
}

void parse_best(Image& image) {
  const std::string* best = nullptr;
  for (const std::string& text : image.texts) {
    if (target_of(text) > (best == nullptr ? 0 : target_of(*best))) best = &text;
  }
  if (best == nullptr) {
    throw Error("the program has no PTX for compute capability " +
                std::to_string(capability() / 10) + "." + std::to_string(capability() % 10) +
                ", or none that is not compressed");
  }
  image.kernels = parse(*best);
  image.parsed = true;
}

}  // namespace

Entry* find_entry(const void* function) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (const auto found = all.entries.find(function); found != all.entries.end()) {
    return found->second.get();
  }
  for (const auto& [_, entry] : all.entries) {
    if (entry.get() == function) return entry.get();
  }
  return nullptr;
}

const Kernel& find_kernel(const Entry& entry) {
  const std::lock_guard lock(registry().mutex);
  Image& image = *entry.image;
  if (!image.parsed) parse_best(image);
  const auto found = image.kernels.find(entry.name);
  if (found == image.kernels.end()) throw Error("the program's PTX has no kernel " + entry.name);
  return found->second;
}

}  // namespace ptx

using ptx::Entry, ptx::Image;

extern "C" {

void** __cudaRegisterFatBinary(void* wrapper) {
  auto image = std::make_unique<Image>();
  image->texts = ptx::texts_of(wrapper);
  const std::lock_guard lock(ptx::registry().mutex);
  void* const handle = image.get();
  ptx::registry().images[handle] = std::move(image);
  return static_cast<void**>(handle);
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void** handle) {
  ptx::Registry& all = ptx::registry();
  const std::lock_guard lock(all.mutex);
  const void* const image = handle;
  std::erase_if(all.entries, [&](const auto& item) { return item.second->image == image; });
  all.images.erase(handle);
}

void __cudaRegisterFunction(void** handle, const char* host_function, char*,
                            const char* device_name, int, uint3*, uint3*, dim3*, dim3*, int*) {
  auto entry = std::make_unique<Entry>();
  void* const image = handle;
  entry->image = static_cast<Image*>(image);
  entry->name = device_name;
  const std::lock_guard lock(ptx::registry().mutex);
  ptx::registry().entries[host_function] = std::move(entry);
}

char __cudaInitModule(void**) { return 1; }

// Variables of the device: a program may have some, but nothing here reaches them.
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  Entry* const entry = ptx::find_entry(host_function);
  if (entry == nullptr) return ptx::failed(cudaErrorInvalidDeviceFunction, "it is not registered");
  *kernel = reinterpret_cast<cudaKernel_t>(entry);
  return cudaSuccess;
}

}  // extern "C"
