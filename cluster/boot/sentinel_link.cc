#include "cluster/boot/sentinel_link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr absl::string_view kJoined = "joined";
constexpr absl::string_view kOwnListen = "-";
constexpr size_t kLineBytesMax = 4096;

absl::Status NotOurs(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_SENTINEL",
               absl::StrCat("not what a sentinel and its node say: ", what))
      .NotExecuted();
}

}  // namespace

std::string ToLine(const JoinedNews& news) {
  return absl::StrCat(kJoined, " ", news.epoch.ToString(), " ", news.listen,
                      "\n");
}

absl::StatusOr<JoinedNews> ParseNews(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  if (words.size() != 3 || words[0] != kJoined || words[2].empty()) {
    return NotOurs("three words, the first of them 'joined'");
  }
  absl::StatusOr<Epoch> epoch = Epoch::Parse(words[1]);
  if (!epoch.ok()) return epoch.status();
  JoinedNews news;
  news.epoch = *epoch;
  news.listen = std::string(words[2]);
  return news;
}

std::vector<JoinedNews> NewsReader::Feed(absl::string_view bytes) {
  std::vector<JoinedNews> all;
  for (const char c : bytes) {
    if (c != '\n') {
      // One byte more than allowed marks a line to be dropped.
      if (line_.size() <= kLineBytesMax) line_.push_back(c);
      continue;
    }
    if (line_.size() <= kLineBytesMax) {
      absl::StatusOr<JoinedNews> news = ParseNews(line_);
      if (news.ok()) all.push_back(*std::move(news));
    }
    line_.clear();
  }
  return all;
}

std::string ToValue(const SentinelHello& hello) {
  return absl::StrCat(hello.pid, " ",
                      hello.listen.empty() ? kOwnListen : hello.listen);
}

absl::StatusOr<SentinelHello> ParseHello(absl::string_view value) {
  const std::vector<absl::string_view> words = absl::StrSplit(value, ' ');
  SentinelHello hello;
  if (words.size() != 2 || words[1].empty() ||
      !absl::SimpleAtoi(words[0], &hello.pid) || hello.pid < 1) {
    return NotOurs("a process id and an address");
  }
  if (words[1] != kOwnListen) hello.listen = std::string(words[1]);
  return hello;
}

std::unique_ptr<SentinelLink> SentinelLink::FromEnvironment() {
  const char* const value = getenv(kSentinelVariable);
  if (value == nullptr) return nullptr;
  const absl::StatusOr<SentinelHello> hello = ParseHello(value);
  unsetenv(kSentinelVariable);
  if (!hello.ok()) return nullptr;
  // First the request, then the question: whichever order the sentinel's death
  // and these two have, one of them sees it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
      getppid() != hello->pid) {
    raise(SIGKILL);
  }
  // It runs as /proc/self/exe; `ps` is to show the program.
  prctl(PR_SET_NAME, program_invocation_short_name, 0, 0, 0);
  fcntl(kSentinelFd, F_SETFD, FD_CLOEXEC);
  fcntl(kSentinelFd, F_SETFL, O_NONBLOCK);
  signal(SIGPIPE, SIG_IGN);
  return std::unique_ptr<SentinelLink>(new SentinelLink(hello->listen));
}

SentinelLink::~SentinelLink() { close(kSentinelFd); }

void SentinelLink::Joined(const JoinedNews& news) {
  const std::string line = ToLine(news);
  // Shorter than PIPE_BUF, so it is written as a whole or not at all.
  while (write(kSentinelFd, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace muster
