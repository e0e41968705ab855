// Peak arithmetic of one machine: multiply-adds on registers only, no memory. Compiled by peaks.py
// where it runs, each loop for its own instruction set; nothing here is part of tamis.
//   peaks THREADS MILLISECONDS NAME...   prints "NAME GFLOP/s", all threads together
// A chunk takes about a millisecond and each thread's fastest one counts, so that other work on
// the machine hardly lowers the result.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

// INSTRUCTION on independent sums, enough of them to hide its latency. In assembly, so that no
// compiler can move a sum to memory. The factors hold zeros: the rate does not depend on them.
#define PEAK_LOOP(NAME, TARGET, REGISTER, SUMS, INSTRUCTION, FLOPS)                       \
  __attribute__((target(TARGET))) double NAME() {                                         \
    constexpr int kSteps = 20000;                                                         \
    int steps = kSteps;                                                                   \
    asm volatile(                                                                         \
        ".irp r," SUMS ",14,15\n vpxor %%xmm\\r, %%xmm\\r, %%xmm\\r\n .endr\n"              \
        "1:\n"                                                                            \
        ".irp r," SUMS "\n " INSTRUCTION " %%" REGISTER "14, %%" REGISTER "15, %%" REGISTER \
        "\\r\n .endr\n"                                                                   \
        "dec %0\n jnz 1b\n vzeroupper\n"                                                  \
        : "+r"(steps)                                                                     \
        :                                                                                 \
        : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",    \
          "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");                   \
    return 14.0 * FLOPS * kSteps;                                                         \
  }

#define ALL_SUMS "0,1,2,3,4,5,6,7,8,9,10,11,12,13"
PEAK_LOOP(avx2, "avx2,fma", "ymm", ALL_SUMS, "vfmadd231ps", 16)
PEAK_LOOP(avx512, "avx512f", "zmm", ALL_SUMS, "vfmadd231ps", 32)
PEAK_LOOP(bf16, "avx512f,avx512bf16", "zmm", ALL_SUMS, "vdpbf16ps", 64)
PEAK_LOOP(int8, "avx512f,avx512vnni", "zmm", ALL_SUMS, "vpdpbusd", 128)

double fastest_chunk(double (*chunk)(), int milliseconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
  double best = 0;
  do {
    const auto begin = Clock::now();
    const double flops = chunk();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (flops / seconds > best) best = flops / seconds;
  } while (Clock::now() < end);
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const int n_threads = std::atoi(argv[1]), milliseconds = std::atoi(argv[2]);
  for (int a = 3; a < argc; ++a) {
    double (*chunk)() = !std::strcmp(argv[a], "avx2")     ? avx2
                        : !std::strcmp(argv[a], "avx512") ? avx512
                        : !std::strcmp(argv[a], "bf16")   ? bf16
                                                          : int8;
    std::vector<double> rate(static_cast<size_t>(n_threads));
    std::vector<std::thread> threads;
    for (auto& r : rate) {
      threads.emplace_back([&r, chunk, milliseconds] { r = fastest_chunk(chunk, milliseconds); });
    }
    double total = 0;
    for (auto& thread : threads) thread.join();
    for (const double r : rate) total += r;
    std::printf("%s %.1f\n", argv[a], total * 1e-9);
  }
}
