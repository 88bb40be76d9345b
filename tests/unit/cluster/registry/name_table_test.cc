#include "cluster/registry/name_table.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster {
namespace {

using ::testing::ElementsAre;

std::shared_ptr<const KnownName> Known(absl::string_view name,
                                       int64_t revision) {
  auto known = std::make_shared<KnownName>();
  known->entry.name = std::string(name);
  known->entry.epoch.revision = static_cast<uint64_t>(revision);
  known->view.mod_revision = revision;
  return known;
}

int64_t RevisionOf(const NameTable& table, absl::string_view name) {
  const auto known = table.Find(name);
  return known == nullptr ? 0 : known->view.mod_revision;
}

TEST(NameTableTest, KeepsTheGreatestRevision) {
  NameTable table;
  EXPECT_TRUE(table.Put(Known("x", 5)));
  EXPECT_FALSE(table.Put(Known("x", 4)));
  EXPECT_FALSE(table.Put(Known("x", 5)));
  EXPECT_EQ(RevisionOf(table, "x"), 5);
  EXPECT_TRUE(table.Put(Known("x", 6)));
  EXPECT_EQ(RevisionOf(table, "x"), 6);
  EXPECT_EQ(table.size(), 1u);
}

TEST(NameTableTest, ADeletedNameIsNotBroughtBackByWhatIsOlder) {
  NameTable table;
  table.Put(Known("x", 5));
  EXPECT_FALSE(table.Remove("x", 4)) << "it was put again since";
  EXPECT_TRUE(table.Remove("x", 7));
  EXPECT_FALSE(table.Put(Known("x", 6)));
  EXPECT_FALSE(table.Put(Known("x", 7)));
  EXPECT_EQ(table.Find("x"), nullptr);
  EXPECT_TRUE(table.Put(Known("x", 8)));
  EXPECT_EQ(table.floors(), 0u);
}

TEST(NameTableTest, AnAbsenceIsKnownBeforeTheName) {
  NameTable table;
  EXPECT_FALSE(table.Remove("x", 7));
  EXPECT_FALSE(table.Put(Known("x", 6)));
  EXPECT_TRUE(table.Put(Known("x", 9)));
}

TEST(NameTableTest, AWholeListSettlesWhatIsAbsent) {
  NameTable table;
  for (int i = 0; i < 1000; ++i) {
    table.Put(Known(absl::StrCat("n", i), 10));
    table.Remove(absl::StrCat("n", i), 11 + i);
  }
  EXPECT_EQ(table.floors(), 1000u);
  table.Listed(510);
  EXPECT_EQ(table.floors(), 500u) << "those deleted since are kept";
  table.Listed(2000);
  EXPECT_EQ(table.floors(), 0u);
  EXPECT_EQ(table.size(), 0u);
  // Still not believed, though nothing is kept of it.
  EXPECT_FALSE(table.Put(Known("n1", 2000)));
  EXPECT_FALSE(table.Put(Known("never", 1999)));
  EXPECT_TRUE(table.Put(Known("n1", 2001)));
  // An older list takes nothing back.
  table.Listed(5);
  EXPECT_FALSE(table.Put(Known("n2", 1999)));
  // Nor is an absence kept that the list knows of.
  table.Remove("n3", 2000);
  EXPECT_EQ(table.floors(), 0u);
}

TEST(NameTableTest, ListsByPrefixInOrder) {
  NameTable table;
  for (const char* name : {"b", "a/2", "a/10", "a", "c", "a0"}) {
    table.Put(Known(name, 2));
  }
  table.Remove("a0", 3);
  std::vector<std::string> names;
  for (const auto& known : table.List("a")) names.push_back(known->entry.name);
  EXPECT_THAT(names, ElementsAre("a", "a/10", "a/2"));
  EXPECT_EQ(table.List("").size(), 5u);
  EXPECT_TRUE(table.List("d").empty());
}

TEST(NameTableTest, AReaderNeverSeesItGoBack) {
  NameTable table;
  constexpr int64_t kLast = 20'000;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  std::atomic<int> back{0};
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      int64_t seen = 0;
      while (!done.load()) {
        const int64_t now = RevisionOf(table, "x");
        if (now != 0 && now < seen) ++back;
        if (now != 0) seen = now;
      }
    });
  }
  std::thread other([&] {
    for (int64_t i = 1; i <= kLast; i += 2) table.Put(Known("x", i));
  });
  for (int64_t i = 2; i <= kLast; i += 2) {
    table.Put(Known("x", i));
    if (i % 10 == 0) table.Remove("x", i);
  }
  other.join();
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(back.load(), 0);
}

}  // namespace
}  // namespace muster
