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

DefaultFloatingPoint::DefaultFloatingPoint() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
DefaultFloatingPoint::~DefaultFloatingPoint() { _mm_setcsr(saved_); }

void parallel_for(int64_t n_tasks, const Context& context,
                  const std::function<void(int64_t, int)>& run) {
  using Clock = std::chrono::steady_clock;
  // Kept from loop to loop: a call may be many loops, each shorter than the time between checks.
  static thread_local Clock::time_point last_check;
  std::atomic<int64_t> next{0};
  std::atomic<bool> stop{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  const auto work = [&](int thread) {
    DefaultFloatingPoint default_floating_point;
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
  threads.reserve(static_cast<size_t>(std::max(0, n_threads - 1)));
  for (int t = 1; t < n_threads; ++t) {
    try {
      threads.emplace_back(work, t);
    } catch (const std::exception&) {  // no thread, or no memory for one
      break;                           // Fewer threads give the same result.
    }
  }
  work(0);
  for (auto& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace tamis::cpu
