// A loop over tasks on several threads. Threads live for one loop: nothing survives a fork, and
// nothing is left at exit.
#pragma once

#include <functional>

#include "tamis/array.h"

namespace tamis::cpu {

// Calls run(task, thread) for every task in [0, n_tasks), each once, in ascending order of start.
// thread is in [0, context.n_threads). The first exception stops the loop and is thrown again.
// Floating-point control is set to the default (nearest even, subnormals kept) around every task.
void parallel_for(int64_t n_tasks, const Context& context,
                  const std::function<void(int64_t task, int thread)>& run);

}  // namespace tamis::cpu
