// A loop over tasks on several threads. Threads live for one loop: nothing survives a fork, and
// nothing is left at exit.
#pragma once

#include <functional>

#include "tamis/array.h"

namespace tamis::cpu {

// Sets floating-point control to its default (nearest even, subnormals kept) and back. Other
// libraries change it for a whole process; exact arithmetic needs the default. parallel_for has it
// around its tasks; arithmetic outside of one needs it too.
class DefaultFloatingPoint {
 public:
  DefaultFloatingPoint();
  ~DefaultFloatingPoint();
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

 private:
  unsigned saved_;
};

// Calls run(task, thread) for every task in [0, n_tasks), each once, in ascending order of start.
// thread is in [0, context.n_threads). The first exception stops the loop and is thrown again.
void parallel_for(int64_t n_tasks, const Context& context,
                  const std::function<void(int64_t task, int thread)>& run);

}  // namespace tamis::cpu
