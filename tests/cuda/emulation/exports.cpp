#include "exports.h"

#include "block.h"

extern "C" TAMIS_EXPORT const char* emulation_configure(int64_t seed, int64_t host_threads,
                                                        int64_t sms, int64_t sum_order,
                                                        int64_t truncate, int64_t races,
                                                        int64_t capability) {
  return tamis::emulation::guarded([&] {
    auto& settings = tamis::emulation::settings();
    settings.seed = static_cast<uint64_t>(seed);
    settings.host_threads = static_cast<int>(host_threads);
    settings.sms = static_cast<int>(sms);
    settings.sum_order = static_cast<int>(sum_order);
    settings.truncate = truncate != 0;
    settings.races = races != 0;
    settings.capability = static_cast<int>(capability);
  });
}
extern "C" TAMIS_EXPORT const char* emulation_add_memory(const void* begin, int64_t bytes) {
  return tamis::emulation::guarded(
      [&] { tamis::emulation::add_memory(begin, static_cast<size_t>(bytes)); });
}
extern "C" TAMIS_EXPORT const char* emulation_forget_memory() {
  return tamis::emulation::guarded(tamis::emulation::forget_memory);
}
