// MutexQueue: what anybody would write first, as the baseline of benchmarks.
#ifndef MUSTER_TESTS_BENCH_MUTEX_QUEUE_H_
#define MUSTER_TESTS_BENCH_MUTEX_QUEUE_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace muster {

// A FIFO under one mutex with one condition variable. THREADS: any.
template <typename T>
class MutexQueue {
 public:
  void Push(T value) {
    {
      const std::lock_guard<std::mutex> lock(mu_);
      values_.push_back(std::move(value));
    }
    wake_.notify_one();
  }
  // Waits for a value.
  T Pop() {
    std::unique_lock<std::mutex> lock(mu_);
    wake_.wait(lock, [this] { return !values_.empty(); });
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }

 private:
  std::mutex mu_;
  std::condition_variable wake_;
  std::deque<T> values_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_BENCH_MUTEX_QUEUE_H_
