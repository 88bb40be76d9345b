// The contract of cluster/store/store.h as tests, for every backend.
//
// A backend's main says what it is:
//   INSTANTIATE_TEST_SUITE_P(Embedded, StoreConformanceTest,
//                            ::testing::Values(&NewEmbeddedEnvironment));
#ifndef MUSTER_TESTS_CONFORMANCE_STORE_STORE_CONFORMANCE_H_
#define MUSTER_TESTS_CONFORMANCE_STORE_STORE_CONFORMANCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/store/store.h"
#include "gtest/gtest.h"

namespace muster {

// What a test needs from a backend: clients, and a way to wait that fits it.
class StoreEnvironment {
 public:
  virtual ~StoreEnvironment() = default;

  // A client. A backend that is shared by clients gives all of them the same
  // records; a test uses keys that begin with KeyPrefix().
  virtual std::unique_ptr<Store> NewStore() = 0;

  // Differs for each environment.
  virtual std::string KeyPrefix() = 0;

  // Runs `change` so that no condition of WaitUntil() sees half of it.
  // Callbacks of stores report in this way.
  virtual void Update(absl::FunctionRef<void()> change) = 0;

  // True once `condition` holds after some Update(); false when it will not:
  // a real environment gives up after half a minute, a simulated one after as
  // much simulated time.
  virtual bool WaitUntil(absl::FunctionRef<bool()> condition) = 0;
};

// Waits for one answer.
template <typename T>
class Answer {
 public:
  explicit Answer(StoreEnvironment& environment)
      : state_(std::make_shared<State>(State{environment})) {}

  Store::Done<T> Take() {
    return [state = state_](absl::StatusOr<T> result) {
      state->environment.Update([&] {
        ++state->calls;
        state->result = std::move(result);
      });
    };
  }
  // UNKNOWN if no answer came.
  absl::StatusOr<T> Wait() {
    const bool came =
        state_->environment.WaitUntil([this] { return state_->calls > 0; });
    if (!came) return absl::UnknownError("no answer");
    absl::StatusOr<T> result;
    state_->environment.Update([&] { result = state_->result; });
    return result;
  }
  int calls() {
    int calls = 0;
    state_->environment.Update([&] { calls = state_->calls; });
    return calls;
  }

 private:
  struct State {
    StoreEnvironment& environment;
    int calls = 0;
    absl::StatusOr<T> result{absl::UnknownError("no answer")};
  };
  const std::shared_ptr<State> state_;
};

// What a watch has told.
class WatchRecord {
 public:
  explicit WatchRecord(StoreEnvironment& environment)
      : state_(std::make_shared<State>(State{environment})) {}

  WatchHandler Handler();
  // Waits for at least `count` events and returns all that came.
  std::vector<WatchEvent> WaitForEvents(size_t count);
  // Waits for the end; UNKNOWN if there is none.
  absl::Status WaitForEnd();
  std::vector<std::vector<WatchEvent>> calls();

 private:
  struct State {
    StoreEnvironment& environment;
    std::vector<std::vector<WatchEvent>> calls;
    size_t events = 0;
    int ends = 0;
    absl::Status end;
  };
  const std::shared_ptr<State> state_;
};

using NewStoreEnvironment = std::function<std::unique_ptr<StoreEnvironment>()>;

// Store operations that wait; for tests of one backend too.
class StoreTester {
 public:
  StoreTester(StoreEnvironment& environment, Store& store)
      : environment_(environment), store_(store) {}

  absl::StatusOr<TxnResult> Commit(Txn txn);
  absl::StatusOr<RangeResult> List(std::string prefix);
  // Puts and returns the revision; 0 and a test failure if it cannot.
  int64_t Put(std::string key, std::string value);
  int64_t Delete(std::string key);
  // An item without key if it is absent.
  KeyValue Get(std::string key);
  absl::Status Compact(int64_t revision);

 private:
  StoreEnvironment& environment_;
  Store& store_;
};

class StoreConformanceTest
    : public ::testing::TestWithParam<NewStoreEnvironment> {
 protected:
  StoreConformanceTest();

  // A key of this test's own.
  std::string Key(absl::string_view name) const;

  std::unique_ptr<StoreEnvironment> environment_;
  const std::string prefix_;
  std::unique_ptr<Store> store_;
  StoreTester tester_;
};

}  // namespace muster

#endif  // MUSTER_TESTS_CONFORMANCE_STORE_STORE_CONFORMANCE_H_
