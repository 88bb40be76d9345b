#include "tests/conformance/transport/transport_conformance.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"

namespace muster {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Inside Write or Close of the tests: no handler may be called on this thread.
thread_local bool calling = false;

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

}  // namespace

class RecordingHandler::Inside {
 public:
  explicit Inside(RecordingHandler* handler) : handler_(handler) {
    EXPECT_FALSE(calling) << "called inside Write or Close";
    MutexLock lock(&handler_->env_->mu);
    EXPECT_FALSE(handler_->inside_) << "calls overlap";
    EXPECT_FALSE(handler_->closed.has_value()) << "called after OnClosed";
    handler_->inside_ = true;
  }
  ~Inside() {
    {
      MutexLock lock(&handler_->env_->mu);
      handler_->inside_ = false;
    }
    handler_->env_->changed.SignalAll();
  }

 private:
  RecordingHandler* const handler_;
};

void RecordingHandler::OnMessage(std::string message) {
  const Inside inside(this);
  if (on_message != nullptr) on_message(message);
  MutexLock lock(&env_->mu);
  messages.push_back(std::move(message));
}

void RecordingHandler::OnWritten() {
  const Inside inside(this);
  if (on_written != nullptr) on_written();
  MutexLock lock(&env_->mu);
  ++written;
}

void RecordingHandler::OnClosed(absl::Status status) {
  const Inside inside(this);
  MutexLock lock(&env_->mu);
  closed = std::move(status);
}

void TransportConformanceTest::SetUp() {
  env_ = GetParam()();
  a_ = env_->StartNode(
      [](std::shared_ptr<Stream>) -> std::shared_ptr<StreamHandler> {
        return nullptr;
      });
  // Not env_: streams may still arrive while that is being destroyed.
  TransportEnvironment* const env = env_.get();
  b_ = env->StartNode([this, env](std::shared_ptr<Stream> stream) {
    End end{.stream = std::move(stream),
            .handler = std::make_shared<RecordingHandler>(env)};
    if (on_accept_ != nullptr) on_accept_(end);
    {
      MutexLock lock(&env->mu);
      accepted_all_.push_back(end);
    }
    env->changed.SignalAll();
    return end.handler;
  });
}

void TransportConformanceTest::TearDown() {
  // Ends of streams may outlive their transports.
  env_ = nullptr;
}

TransportConformanceTest::End TransportConformanceTest::Dial(
    const std::string& to) {
  End end{.stream = nullptr,
          .handler = std::make_shared<RecordingHandler>(env_.get())};
  calling = true;
  end.stream = env_->TransportOf(a_).Dial(to, end.handler);
  calling = false;
  return end;
}

TransportConformanceTest::End TransportConformanceTest::Accepted() {
  EXPECT_TRUE(Await([&] { return accepted_all_.size() > accepted_taken_; }));
  MutexLock lock(&env_->mu);
  return accepted_all_.at(accepted_taken_++);
}

void TransportConformanceTest::Connect() {
  dialed_ = Dial(b_);
  accepted_ = Accepted();
}

void TransportConformanceTest::Write(const std::shared_ptr<Stream>& stream,
                                     std::string message) {
  const bool outer = std::exchange(calling, true);
  stream->Write(std::move(message));
  calling = outer;
}

void TransportConformanceTest::Close(const std::shared_ptr<Stream>& stream,
                                     absl::Status status) {
  const bool outer = std::exchange(calling, true);
  stream->Close(std::move(status));
  calling = outer;
}

void TransportConformanceTest::AwaitMessages(const End& end, size_t count) {
  ASSERT_TRUE(Await([&] { return end.handler->messages.size() >= count; }));
}

void TransportConformanceTest::AwaitWritten(const End& end, int count) {
  ASSERT_TRUE(Await([&] { return end.handler->written >= count; }));
}

absl::Status TransportConformanceTest::AwaitClosed(const End& end) {
  if (!Await([&] { return end.handler->closed.has_value(); })) {
    return absl::InternalError("OnClosed never came");
  }
  MutexLock lock(&env_->mu);
  return *end.handler->closed;
}

// --- Messages ----------------------------------------------------------------

TEST_P(TransportConformanceTest, TenThousandMessagesBothWaysKeepTheirOrder) {
  constexpr int kMessages = 10'000;
  // Writes the next number whenever the last one has left.
  const auto pump = [](const End& end) {
    const auto next = std::make_shared<int>(0);
    const auto write = [next, stream = end.stream] {
      if (*next < kMessages) Write(stream, absl::StrCat((*next)++));
    };
    end.handler->on_written = write;
    return write;
  };
  on_accept_ = [&](const End& end) { pump(end)(); };
  Connect();
  // The first message is the one event that is not an answer to another.
  pump(dialed_)();
  AwaitMessages(dialed_, kMessages);
  AwaitMessages(accepted_, kMessages);
  for (const End& end : {dialed_, accepted_}) {
    MutexLock lock(&env_->mu);
    for (int i = 0; i < kMessages; ++i) {
      ASSERT_EQ(end.handler->messages[i], absl::StrCat(i));
    }
  }
  Close(dialed_.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
  EXPECT_EQ(dialed_.handler->written, kMessages);
  EXPECT_EQ(accepted_.handler->written, kMessages);
}

TEST_P(TransportConformanceTest, MessageWrittenBeforeTheConnectionStands) {
  const End dialed = Dial(b_);
  Write(dialed.stream, "early");
  AwaitMessages(Accepted(), 1);
}

TEST_P(TransportConformanceTest, BytesArriveAsTheyWere) {
  Connect();
  Write(dialed_.stream, AllBytes());
  Write(accepted_.stream, AllBytes());
  AwaitMessages(accepted_, 1);
  AwaitMessages(dialed_, 1);
  EXPECT_THAT(accepted_.handler->messages, ElementsAre(AllBytes()));
  EXPECT_THAT(dialed_.handler->messages, ElementsAre(AllBytes()));
}

TEST_P(TransportConformanceTest, EmptyMessageArrives) {
  Connect();
  Write(dialed_.stream, "");
  AwaitMessages(accepted_, 1);
  Write(accepted_.stream, "");
  AwaitMessages(dialed_, 1);
  EXPECT_THAT(accepted_.handler->messages, ElementsAre(""));
  EXPECT_THAT(dialed_.handler->messages, ElementsAre(""));
}

TEST_P(TransportConformanceTest, LargestMessageArrives) {
  const std::string large(size_t{16} << 20, 'x');
  Connect();
  Write(dialed_.stream, large);
  Write(accepted_.stream, large);
  AwaitMessages(accepted_, 1);
  AwaitMessages(dialed_, 1);
  EXPECT_TRUE(accepted_.handler->messages[0] == large);
  EXPECT_TRUE(dialed_.handler->messages[0] == large);
}

TEST_P(TransportConformanceTest, TooLargeMessageEndsTheStream) {
  Connect();
  Write(dialed_.stream, std::string((size_t{16} << 20) + 1, 'x'));
  EXPECT_EQ(AwaitClosed(dialed_).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(AwaitClosed(accepted_).ok());
  EXPECT_THAT(accepted_.handler->messages, IsEmpty());
}

TEST_P(TransportConformanceTest, EachWriteIsFollowedByOneOnWritten) {
  Connect();
  for (int i = 1; i <= 20; ++i) {
    Write(dialed_.stream, "x");
    AwaitWritten(dialed_, i);
  }
  AwaitMessages(accepted_, 20);
  EXPECT_EQ(dialed_.handler->written, 20);
}

TEST_P(TransportConformanceTest, WriteFromInsideAHandler) {
  on_accept_ = [](const End& end) {
    end.handler->on_message = [stream =
                                   end.stream](const std::string& message) {
      Write(stream, absl::StrCat("re: ", message));
    };
  };
  Connect();
  Write(dialed_.stream, "question");
  AwaitMessages(dialed_, 1);
  EXPECT_THAT(dialed_.handler->messages, ElementsAre("re: question"));
}

TEST_P(TransportConformanceTest, WriteFromInsideTheAcceptor) {
  on_accept_ = [](const End& end) { Write(end.stream, "welcome"); };
  Connect();
  AwaitMessages(dialed_, 1);
  AwaitWritten(accepted_, 1);
}

// --- Closing -----------------------------------------------------------------

TEST_P(TransportConformanceTest, DialerClosesWithOk) {
  Connect();
  Close(dialed_.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
}

TEST_P(TransportConformanceTest, AcceptorClosesWithOk) {
  Connect();
  Close(accepted_.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
}

TEST_P(TransportConformanceTest, BothCloseAtOnce) {
  Connect();
  Close(dialed_.stream, absl::OkStatus());
  Close(accepted_.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
}

TEST_P(TransportConformanceTest, AcceptorsErrorReachesTheDialer) {
  Connect();
  Close(accepted_.stream, absl::FailedPreconditionError("go away"));
  EXPECT_EQ(AwaitClosed(dialed_), absl::FailedPreconditionError("go away"));
  EXPECT_EQ(AwaitClosed(accepted_), absl::FailedPreconditionError("go away"));
}

TEST_P(TransportConformanceTest, DialersErrorReachesTheAcceptorAsUnavailable) {
  Connect();
  Close(dialed_.stream, absl::FailedPreconditionError("go away"));
  EXPECT_EQ(AwaitClosed(accepted_).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(AwaitClosed(dialed_), absl::FailedPreconditionError("go away"));
}

TEST_P(TransportConformanceTest, LastWordOfTheAcceptorArrives) {
  // A refused handshake: the reason, then the end.
  on_accept_ = [](const End& end) {
    end.handler->on_message = [stream = end.stream](const std::string&) {
      Write(stream, "refused");
      Close(stream, absl::FailedPreconditionError("refused"));
    };
  };
  Connect();
  Write(dialed_.stream, "hello");
  EXPECT_EQ(AwaitClosed(dialed_).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(dialed_.handler->messages, ElementsAre("refused"));
}

TEST_P(TransportConformanceTest, LastWordOfTheDialerArrives) {
  Connect();
  Write(dialed_.stream, "bye");
  Close(dialed_.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
  EXPECT_THAT(accepted_.handler->messages, ElementsAre("bye"));
}

TEST_P(TransportConformanceTest, ClosingTwiceDoesNothingMore) {
  Connect();
  Close(dialed_.stream, absl::OkStatus());
  Close(dialed_.stream, absl::AbortedError("late"));
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
  Close(dialed_.stream, absl::AbortedError("later"));
  Close(accepted_.stream, absl::AbortedError("later"));
}

TEST_P(TransportConformanceTest, WriteAfterCloseIsHarmless) {
  Connect();
  Close(dialed_.stream, absl::OkStatus());
  Write(dialed_.stream, "late");
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
  Write(dialed_.stream, "later");
  Write(dialed_.stream, "later");
  Write(accepted_.stream, "later");
  EXPECT_THAT(accepted_.handler->messages, IsEmpty());
}

TEST_P(TransportConformanceTest, CloseFromInsideAHandler) {
  on_accept_ = [](const End& end) {
    end.handler->on_message = [stream = end.stream](const std::string&) {
      Close(stream, absl::OkStatus());
    };
  };
  Connect();
  Write(dialed_.stream, "enough");
  EXPECT_TRUE(AwaitClosed(dialed_).ok());
  EXPECT_TRUE(AwaitClosed(accepted_).ok());
}

TEST_P(TransportConformanceTest, CloseRightAfterDial) {
  const End dialed = Dial(b_);
  Close(dialed.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(dialed).ok());
}

TEST_P(TransportConformanceTest, HandlersAreLetGoAfterTheEnd) {
  Connect();
  Close(dialed_.stream, absl::OkStatus());
  AwaitClosed(dialed_).IgnoreError();
  AwaitClosed(accepted_).IgnoreError();
  const std::weak_ptr<RecordingHandler> dialed = dialed_.handler;
  dialed_ = {};
  // Stopping waits for whoever still holds it.
  env_->StopNode(a_);
  EXPECT_TRUE(dialed.expired());
}

// --- What goes wrong ---------------------------------------------------------

TEST_P(TransportConformanceTest, DialToNobodyIsUnavailableSoon) {
  const BootTime start = env_->clock().Boot();
  const End dialed = Dial(env_->NobodysAddress());
  EXPECT_EQ(AwaitClosed(dialed).code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(env_->clock().Boot() - start, absl::Seconds(2));
  EXPECT_THAT(dialed.handler->messages, IsEmpty());
}

TEST_P(TransportConformanceTest, DialToAFrozenPeerIsUnavailableWithinTheLimit) {
  const std::string other = env_->StartOther("");
  env_->Freeze(other);
  const BootTime start = env_->clock().Boot();
  const End dialed = Dial(other);
  EXPECT_EQ(AwaitClosed(dialed).code(), absl::StatusCode::kUnavailable);
  const absl::Duration took = env_->clock().Boot() - start;
  EXPECT_GE(took, absl::Seconds(2));
  EXPECT_LT(took, absl::Seconds(4));
}

TEST_P(TransportConformanceTest, RefusedByTheAcceptorIsUnavailable) {
  const std::string refusing = env_->StartNode(
      [](std::shared_ptr<Stream>) -> std::shared_ptr<StreamHandler> {
        return nullptr;
      });
  const End dialed = Dial(refusing);
  EXPECT_EQ(AwaitClosed(dialed).code(), absl::StatusCode::kUnavailable);
}

TEST_P(TransportConformanceTest, DeathOfTheAcceptorIsUnavailableAtOnce) {
  const std::string other = env_->StartOther("");
  const End dialed = Dial(other);
  Write(dialed.stream, "are you there?");
  AwaitMessages(dialed, 1);
  const BootTime start = env_->clock().Boot();
  env_->Kill(other);
  EXPECT_EQ(AwaitClosed(dialed).code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(env_->clock().Boot() - start, absl::Seconds(1));
  Write(dialed.stream, "are you still there?");
}

TEST_P(TransportConformanceTest, DeathOfTheDialerIsUnavailableAtOnce) {
  const std::string other = env_->StartOther(b_);
  const End accepted = Accepted();
  AwaitMessages(accepted, 1);
  const BootTime start = env_->clock().Boot();
  env_->Kill(other);
  EXPECT_EQ(AwaitClosed(accepted).code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(env_->clock().Boot() - start, absl::Seconds(1));
}

TEST_P(TransportConformanceTest, CloseTowardAFrozenPeerStillEnds) {
  const std::string other = env_->StartOther("");
  const End dialed = Dial(other);
  Write(dialed.stream, "are you there?");
  AwaitMessages(dialed, 1);
  env_->Freeze(other);
  Close(dialed.stream, absl::OkStatus());
  EXPECT_TRUE(AwaitClosed(dialed).ok());
}

TEST_P(TransportConformanceTest, ManyStreamsAtOnce) {
  constexpr int kStreams = 100;
  on_accept_ = [](const End& end) {
    end.handler->on_message = [stream =
                                   end.stream](const std::string& message) {
      Write(stream, message);
    };
  };
  std::vector<End> dialed;
  for (int i = 0; i < kStreams; ++i) {
    dialed.push_back(Dial(b_));
    Write(dialed.back().stream, absl::StrCat(i));
  }
  for (int i = 0; i < kStreams; ++i) {
    AwaitMessages(dialed[i], 1);
    EXPECT_THAT(dialed[i].handler->messages, ElementsAre(absl::StrCat(i)));
  }
  for (const End& end : dialed) Close(end.stream, absl::OkStatus());
  for (const End& end : dialed) EXPECT_TRUE(AwaitClosed(end).ok());
}

TEST_P(TransportConformanceTest,
       DestroyingTheDialersTransportClosesItsStreams) {
  Connect();
  Write(dialed_.stream, "hello");
  AwaitMessages(accepted_, 1);
  env_->StopNode(a_);
  {
    MutexLock lock(&env_->mu);
    ASSERT_TRUE(dialed_.handler->closed.has_value());
    EXPECT_EQ(dialed_.handler->closed->code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(AwaitClosed(accepted_).code(), absl::StatusCode::kUnavailable);
  Write(dialed_.stream, "too late");
  Close(dialed_.stream, absl::OkStatus());
}

TEST_P(TransportConformanceTest,
       DestroyingTheAcceptorsTransportClosesItsStreams) {
  Connect();
  Write(dialed_.stream, "hello");
  AwaitMessages(accepted_, 1);
  env_->StopNode(b_);
  {
    MutexLock lock(&env_->mu);
    ASSERT_TRUE(accepted_.handler->closed.has_value());
    EXPECT_EQ(accepted_.handler->closed->code(),
              absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(AwaitClosed(dialed_).code(), absl::StatusCode::kUnavailable);
  Write(accepted_.stream, "too late");
  Close(accepted_.stream, absl::OkStatus());
}

TEST_P(TransportConformanceTest, DestructionWhileDialsAreUnderWay) {
  std::vector<End> dialed;
  for (int i = 0; i < 20; ++i) dialed.push_back(Dial(b_));
  env_->StopNode(a_);
  for (const End& end : dialed) {
    MutexLock lock(&env_->mu);
    EXPECT_TRUE(end.handler->closed.has_value());
  }
}

}  // namespace muster
