#include "client/seen_names.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "node/types/pid.h"

namespace muster {
namespace {

TEST(SeenNamesTest, TheGreatestEpochStays) {
  SeenNames seen;
  EXPECT_TRUE(seen.Greatest("a").empty());
  seen.See("a", Epoch{1, 7});
  seen.See("a", Epoch{1, 5});
  seen.See("a", Epoch());
  EXPECT_EQ(seen.Greatest("a"), (Epoch{1, 7}));
  seen.See("a", Epoch{2, 1});
  EXPECT_EQ(seen.Greatest("a"), (Epoch{2, 1}));
  EXPECT_TRUE(seen.Greatest("b").empty());
}

TEST(SeenNamesTest, WhatWasNotUsedForLongestGoes) {
  SeenNames seen(3);
  for (const char* name : {"a", "b", "c"}) seen.See(name, Epoch{1, 1});
  EXPECT_FALSE(seen.Greatest("a").empty());  // Used.
  seen.See("b", Epoch{1, 2});                // Used.
  seen.See("d", Epoch{1, 1});
  EXPECT_TRUE(seen.Greatest("c").empty());
  for (const char* name : {"a", "b", "d"}) {
    EXPECT_FALSE(seen.Greatest(name).empty()) << name;
  }
  for (int i = 0; i < 1000; ++i) seen.See(absl::StrCat("n", i), Epoch{1, 1});
  EXPECT_TRUE(seen.Greatest("a").empty());
  EXPECT_FALSE(seen.Greatest("n997").empty());
  EXPECT_TRUE(seen.Greatest("n996").empty());
}

}  // namespace
}  // namespace muster
