// RunQueue: the tasks that wait for one worker, and that others may steal.
//
// For ThreadScheduler only.
#ifndef MUSTER_NODE_BASE_RUN_QUEUE_H_
#define MUSTER_NODE_BASE_RUN_QUEUE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace muster {

// A bounded FIFO of words that are not 0. One thread, the owner, pushes; any
// thread takes from the front. Lock-free: a ring whose `head_` is moved by
// compare-and-set and whose `tail_` is the owner's alone.
//
// THREADS: Push and StealInto's `to` only by the owner, the rest by anyone.
// Whoever takes a word sees all that its owner did before pushing it.
class RunQueue {
 public:
  static constexpr size_t kCapacity = 256;

  RunQueue() = default;
  RunQueue(const RunQueue&) = delete;
  RunQueue& operator=(const RunQueue&) = delete;

  // False: full.
  bool Push(uintptr_t word) {
    // Relaxed: only this thread writes it.
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    // Acquire: who moved the head has read the slots that are free now.
    if (tail - head_.load(std::memory_order_acquire) >= kCapacity) return false;
    // Relaxed: the tail publishes it.
    slots_[tail % kCapacity].store(word, std::memory_order_relaxed);
    // Sequentially consistent, which includes release: ordered before the
    // pusher's look at who is parked (ThreadScheduler::WakeForWork).
    tail_.store(tail + 1, std::memory_order_seq_cst);
    return true;
  }

  // 0: empty.
  uintptr_t Pop() {
    uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      // Acquire: the slot and what its word points to were written before.
      if (head == tail_.load(std::memory_order_acquire)) return 0;
      const uintptr_t word =
          slots_[head % kCapacity].load(std::memory_order_relaxed);
      // Release: the slot was read before it is given back. Fails if somebody
      // else took it; then `word` may be anything and is dropped.
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        return word;
      }
    }
  }

  // Takes half of the words, rounded up, the oldest first: returns the first
  // one and moves the others to the end of `to`, which must be empty. 0: this
  // queue is empty.
  uintptr_t StealInto(RunQueue* to) {
    uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      const uint64_t tail = tail_.load(std::memory_order_acquire);
      const uint64_t size = tail - head;
      if (size == 0) return 0;
      if (size > kCapacity) {
        // The head has moved on between the two loads.
        head = head_.load(std::memory_order_acquire);
        continue;
      }
      const uint64_t take = size - size / 2;
      std::array<uintptr_t, kCapacity / 2 + 1> words;
      for (uint64_t i = 0; i < take; ++i) {
        words[i] =
            slots_[(head + i) % kCapacity].load(std::memory_order_relaxed);
      }
      if (!head_.compare_exchange_weak(head, head + take,
                                       std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        continue;
      }
      for (uint64_t i = 1; i < take; ++i) to->Push(words[i]);
      return words[0];
    }
  }

  // Sequentially consistent: who has said that it is about to park looks here
  // and sees every word whose pusher has not seen that.
  bool empty() const {
    return head_.load(std::memory_order_seq_cst) ==
           tail_.load(std::memory_order_seq_cst);
  }

 private:
  // On lines of their own: thieves write one, the owner the other.
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
  std::array<std::atomic<uintptr_t>, kCapacity> slots_{};
};

}  // namespace muster

#endif  // MUSTER_NODE_BASE_RUN_QUEUE_H_
