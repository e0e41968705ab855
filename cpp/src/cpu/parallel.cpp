#include "cpu/parallel.h"

#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace tamis::cpu {
namespace {

// Other libraries switch subnormals off for a whole process; exact arithmetic needs them.
class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~DefaultFloatingPoint() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
};

}  // namespace

void parallel_for(int64_t n_tasks, const Context& context,
                  const std::function<void(int64_t, int)>& run) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  const auto work = [&](int thread) {
    DefaultFloatingPoint default_floating_point;
    auto last_check = Clock::now();
    try {
      while (!stop.load(std::memory_order_relaxed)) {
        const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
        if (task >= n_tasks) break;
        run(task, thread);
        if (thread == 0 && context.checkpoint &&
            Clock::now() - last_check > std::chrono::milliseconds(50)) {
          context.checkpoint();
          last_check = Clock::now();
        }
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
      stop.store(true);
    }
  };

  const int n_threads = static_cast<int>(std::min<int64_t>(context.n_threads, n_tasks));
  std::vector<std::thread> threads;
  for (int t = 1; t < n_threads; ++t) {
    try {
      threads.emplace_back(work, t);
    } catch (const std::system_error&) {
      break;  // Fewer threads give the same result.
    }
  }
  work(0);
  for (auto& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace tamis::cpu
