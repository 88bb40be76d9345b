#include "proto/plugin/generator.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/compiler/importer.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/empty.pb.h"
#include "google/protobuf/io/zero_copy_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "gtest/gtest.h"
#include "muster/options/v1/options.pb.h"

namespace muster::plugin {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::compiler::Importer;
using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::StringOutputStream;
using google::protobuf::io::ZeroCopyInputStream;
using google::protobuf::io::ZeroCopyOutputStream;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

// Files by the path that they are imported with.
using Files = std::map<std::string, std::string>;

class MemoryTree final : public google::protobuf::compiler::SourceTree {
 public:
  explicit MemoryTree(Files files) : files_(std::move(files)) {
    // What services import, from what is linked in anyway. Naming something of
    // options.pb.cc makes the linker take it.
    EXPECT_EQ(muster::options::v1::cast.number(), 51601);
    for (const FileDescriptor* file :
         {google::protobuf::Empty::descriptor()->file(),
          google::protobuf::FileDescriptorProto::descriptor()->file(),
          google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
              "muster/options/v1/options.proto")}) {
      files_[file->name()] = file->DebugString();
    }
  }

  ZeroCopyInputStream* Open(const std::string& path) override {
    const auto file = files_.find(path);
    if (file == files_.end()) return nullptr;
    return new ArrayInputStream(file->second.data(),
                                static_cast<int>(file->second.size()));
  }

 private:
  Files files_;
};

// What protoc itself refuses is a mistake in the test.
class FailOnError final
    : public google::protobuf::compiler::MultiFileErrorCollector {
 public:
  void AddError(const std::string& file, int line, int column,
                const std::string& message) override {
    ADD_FAILURE() << file << ":" << line + 1 << ":" << column + 1 << ": "
                  << message;
  }
};

class MemoryOutput final : public google::protobuf::compiler::GeneratorContext {
 public:
  ZeroCopyOutputStream* Open(const std::string& path) override {
    return new StringOutputStream(&files[path]);
  }

  Files files;
};

struct Result {
  std::string error;
  Files files;

  const std::string& server(const std::string& stem = "shop") const {
    return files.at(stem + ".muster.server.h");
  }
  const std::string& client(const std::string& stem = "shop") const {
    return files.at(stem + ".muster.client.h");
  }
};

// Runs the generator over `paths` of `files`, all in one run.
Result GenerateAll(const std::vector<std::string>& paths, const Files& files,
                   const std::string& parameter = "") {
  Result result;
  MemoryTree tree(files);
  FailOnError errors;
  Importer importer(&tree, &errors);
  std::vector<const FileDescriptor*> parsed;
  for (const std::string& path : paths) {
    parsed.push_back(importer.Import(path));
    if (parsed.back() == nullptr) return result;
  }
  MemoryOutput output;
  const bool ok =
      Generator().GenerateAll(parsed, parameter, &output, &result.error);
  EXPECT_EQ(ok, result.error.empty());
  result.files = std::move(output.files);
  return result;
}

// Of one file that needs no other.
Result Generate(const std::string& text) {
  return GenerateAll({"shop.proto"}, {{"shop.proto", text}});
}

// shop.proto with `body` from line 10 on.
std::string Shop(const std::string& body, const std::string& imports = "") {
  return "syntax = \"proto3\";\n"
         "package shop.v1;\n"
         "import \"google/protobuf/empty.proto\";\n"
         "import \"muster/options/v1/options.proto\";\n" +
         imports +
         "\n"
         "message BuyRequest {}\n"
         "message BuyResponse { message Item {} map<string, string> tags = 1; "
         "}\n"
         "enum Colour { COLOUR_UNSPECIFIED = 0; }\n"
         "\n" +
         body;
}

std::string ErrorOf(const std::string& body, const Files& more = {},
                    const std::string& imports = "") {
  Files files = more;
  files["shop.proto"] = Shop(body, imports);
  const Result result = GenerateAll({"shop.proto"}, files);
  // All or nothing.
  EXPECT_THAT(result.files, SizeIs(result.error.empty() ? 2 : 0));
  return result.error;
}

// A service with one rpc of this name.
std::string ServiceWith(const std::string& rpc) {
  return "service Shop {\n"
         "  rpc " +
         rpc + "(BuyRequest) returns (BuyResponse);\n}\n";
}

// A service on line 10 whose init option, on line 11, says `name`.
std::string ServiceFrom(const std::string& name) {
  return "service Shop {\n"
         "  option (muster.options.v1.init) = \"" +
         name + "\";\n}\n";
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// -- What is refused, where, and what would be right --------------------------

TEST(GeneratorTest, ClientStreamIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {\n"
                    "  rpc Buy(stream BuyRequest) returns (BuyResponse);\n"
                    "}\n"),
            "shop.proto:11:11: rpc \"Buy\" streams, but a GenServer handles "
            "one message and gives one answer; remove \"stream\"");
}

TEST(GeneratorTest, ServerStreamIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {\n"
                    "  rpc Buy(BuyRequest) returns (stream BuyResponse);\n"
                    "}\n"),
            "shop.proto:11:32: rpc \"Buy\" streams, but a GenServer handles "
            "one message and gives one answer; remove \"stream\"");
}

TEST(GeneratorTest, CastThatReturnsSomethingIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {\n"
                    "  rpc Buy(BuyRequest) returns (BuyResponse) {\n"
                    "    option (muster.options.v1.cast) = true;\n"
                    "  }\n"
                    "}\n"),
            "shop.proto:11:32: rpc \"Buy\" is a cast and returns "
            "\"shop.v1.BuyResponse\", but nobody waits for an answer to a "
            "cast; write returns (google.protobuf.Empty), or remove the option "
            "(muster.options.v1.cast) to make it a call");
}

TEST(GeneratorTest, RpcNamedAsAMemberOfEveryServerIsRefused) {
  for (const std::string name :
       {"CodeChange", "FormatStatus", "HandleContinue", "HandleInfo",
        "HandleTimeout", "Init", "OnCall", "OnCast", "OnContinue", "OnInfo",
        "OnInit", "OnTerminate", "OnTimeout", "Options", "Restore",
        "ServiceDescriptor", "Snapshot", "Terminate"}) {
    EXPECT_EQ(ErrorOf(ServiceWith(name)),
              "shop.proto:11:7: rpc \"" + name +
                  "\" of service \"Shop\" has the name of a member of every "
                  "generated server; choose another, for example \"Do" +
                  name + "\"");
  }
  EXPECT_EQ(ErrorOf(ServiceWith("service_info")),
            "shop.proto:11:7: rpc \"service_info\" of service \"Shop\" has the "
            "name of a member of every generated server; choose another, for "
            "example \"DoService_info\"");
}

TEST(GeneratorTest, RpcNamedAsAMemberOfEveryClientIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceWith("muster_caller_")),
            "shop.proto:11:7: rpc \"muster_caller_\" of service \"Shop\" has "
            "the name of a member of every generated client; choose another, "
            "for example \"DoMuster_caller_\"");
}

TEST(GeneratorTest, RpcNamedAsAGeneratedClassIsRefused) {
  EXPECT_THAT(ErrorOf(ServiceWith("ShopServer")),
              AllOf(StartsWith("shop.proto:11:7: rpc \"ShopServer\" of service "
                               "\"Shop\" has the name of "),
                    EndsWith("the generated server class; choose another, for "
                             "example \"DoShopServer\"")));
  EXPECT_THAT(ErrorOf(ServiceWith("ShopClient")),
              AllOf(StartsWith("shop.proto:11:7: rpc \"ShopClient\" of service "
                               "\"Shop\" has the name of "),
                    EndsWith("the generated client class; choose another, for "
                             "example \"DoShopClient\"")));
}

TEST(GeneratorTest, TwoRpcsWithOneNameInCppAreRefused) {
  EXPECT_EQ(ErrorOf("service Shop {\n"
                    "  rpc delete(BuyRequest) returns (BuyResponse);\n"
                    "  rpc delete_(BuyRequest) returns (BuyResponse);\n"
                    "}\n"),
            "shop.proto:12:7: rpc \"delete_\" and rpc \"delete\" are both "
            "\"delete_\" in C++, because one is a keyword; rename one of them");
}

TEST(GeneratorTest, ClassNamedAsAMessageIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {}\n"
                    "message ShopServer {}\n"),
            "shop.proto:10:9: the server class of service \"Shop\" is "
            "\"ShopServer\", which is also message \"shop.v1.ShopServer\"; "
            "rename one of them");
}

TEST(GeneratorTest, ClassNamedAsAnEnumIsRefused) {
  EXPECT_EQ(ErrorOf("enum ShopClient { NONE = 0; }\n"
                    "service Shop {}\n"),
            "shop.proto:11:9: the client class of service \"Shop\" is "
            "\"ShopClient\", which is also enum \"shop.v1.ShopClient\"; rename "
            "one of them");
}

TEST(GeneratorTest, ClassNamedAsAnEnumValueIsRefused) {
  EXPECT_EQ(ErrorOf("enum Kind { ShopServer = 0; }\n"
                    "service Shop {}\n"),
            "shop.proto:11:9: the server class of service \"Shop\" is "
            "\"ShopServer\", which is also enum value \"shop.v1.ShopServer\"; "
            "rename one of them");
}

TEST(GeneratorTest, ClassNamedAsAnotherServiceIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {}\n"
                    "service ShopClient {}\n"),
            "shop.proto:10:9: the client class of service \"Shop\" is "
            "\"ShopClient\", which is also service \"shop.v1.ShopClient\"; "
            "rename one of them");
}

TEST(GeneratorTest, ClassNamedAsAnExtensionIsRefused) {
  EXPECT_EQ(ErrorOf("service Shop {}\n",
                    {{"more.proto",
                      "syntax = \"proto3\"; package shop.v1;"
                      "import \"google/protobuf/descriptor.proto\";"
                      "extend google.protobuf.FileOptions {"
                      "  bool ShopServer = 50001; }"}},
                    "import \"more.proto\";"),
            "shop.proto:10:9: the server class of service \"Shop\" is "
            "\"ShopServer\", which is also extension \"shop.v1.ShopServer\"; "
            "rename one of them");
}

// A nested message is a C++ class of the namespace: Outer_Inner.
TEST(GeneratorTest, ClassNamedAsANestedMessageIsRefused) {
  EXPECT_EQ(ErrorOf("service Web_ {}\n"
                    "message Web { message Server {} }\n"),
            "shop.proto:10:9: the server class of service \"Web_\" is "
            "\"Web_Server\", which is also message \"shop.v1.Web.Server\"; "
            "rename one of them");
}

TEST(GeneratorTest, NamesOfOtherPackagesDoNotClash) {
  EXPECT_EQ(ErrorOf("service Shop {}\n",
                    {{"more.proto",
                      "syntax = \"proto3\"; package shop.v2;"
                      "message ShopServer {}"}},
                    "import \"more.proto\";"),
            "");
}

TEST(GeneratorTest, InitThatIsNothingIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceFrom("shop.v1.ShopOption")),
            "shop.proto:11:3: init names \"shop.v1.ShopOption\", which is in "
            "no imported file; write the full name of a message of this file "
            "or of one that it imports");
}

TEST(GeneratorTest, InitThatIsNoFullNameIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceFrom("BuyRequest")),
            "shop.proto:11:3: init names \"BuyRequest\", which is no full "
            "name; write \"shop.v1.BuyRequest\"");
  EXPECT_EQ(ErrorOf(ServiceFrom(".shop.v1.BuyRequest")),
            "shop.proto:11:3: init names \".shop.v1.BuyRequest\", which is no "
            "full name; write \"shop.v1.BuyRequest\"");
}

TEST(GeneratorTest, InitThatIsAnEnumIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceFrom("shop.v1.Colour")),
            "shop.proto:11:3: init names \"shop.v1.Colour\", an enum; name the "
            "message that servers are started with");
}

TEST(GeneratorTest, InitThatIsAServiceIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceFrom("shop.v1.Shop")),
            "shop.proto:11:3: init names \"shop.v1.Shop\", a service; name the "
            "message that servers are started with");
}

TEST(GeneratorTest, InitThatIsAMapEntryIsRefused) {
  EXPECT_EQ(ErrorOf(ServiceFrom("shop.v1.BuyResponse.TagsEntry")),
            "shop.proto:11:3: init names \"shop.v1.BuyResponse.TagsEntry\", "
            "the entry of a map; name a message");
}

TEST(GeneratorTest, InitThatIsNotImportedIsRefused) {
  // Known in this run, since an import imports it, but not to this file.
  EXPECT_EQ(
      ErrorOf(
          ServiceFrom("shop.v1.ShopOptions"),
          {{"options.proto",
            "syntax = \"proto3\"; package shop.v1; message ShopOptions {}"},
           {"more.proto",
            "syntax = \"proto3\"; package shop.v1; import \"options.proto\";"
            "message More { ShopOptions options = 1; }"}},
          "import \"more.proto\";"),
      "shop.proto:11:3: init names \"shop.v1.ShopOptions\", which is in "
      "\"options.proto\", but this file does not import that; add import "
      "\"options.proto\"");
}

TEST(GeneratorTest, LiteRuntimeIsRefused) {
  EXPECT_EQ(ErrorOf("option optimize_for = LITE_RUNTIME;\n"
                    "service Shop {}\n"),
            "shop.proto:10:1: a file with services cannot be optimized for "
            "LITE_RUNTIME, which has no descriptors; write SPEED or CODE_SIZE, "
            "or leave the option out");
}

TEST(GeneratorTest, KeywordInThePackageIsRefused) {
  EXPECT_EQ(Generate("syntax = \"proto3\";\n"
                     "package shop.new;\n"
                     "service Shop {}\n")
                .error,
            "shop.proto:2:1: package \"shop.new\" has the part \"new\", a "
            "keyword of C++, of which protoc makes a namespace; rename that "
            "part");
}

TEST(GeneratorTest, ParametersAreRefused) {
  EXPECT_EQ(GenerateAll({"shop.proto"}, {{"shop.proto", Shop("")}}, "lite=true")
                .error,
            "protoc-gen-muster has no parameters, but was given \"lite=true\"; "
            "write --muster_out=<directory>");
}

TEST(GeneratorTest, EveryErrorOfEveryFileIsReportedOnALineOfItsOwn) {
  const std::string service =
      "syntax = \"proto3\"; message M {}\n"
      "service Shop {\n"
      "  rpc Init(M) returns (M);\n"
      "  rpc Buy(M) returns (stream M);\n"
      "}\n";
  const Result result = GenerateAll({"a.proto", "b.proto"},
                                    {{"a.proto",
                                      "syntax = \"proto3\"; package a.new;\n"
                                      "service A {}\n"},
                                     {"b.proto", service}});
  EXPECT_EQ(result.error,
            "a.proto:1:20: package \"a.new\" has the part \"new\", a keyword "
            "of C++, of which protoc makes a namespace; rename that part\n"
            "b.proto:3:7: rpc \"Init\" of service \"Shop\" has the name of a "
            "member of every generated server; choose another, for example "
            "\"DoInit\"\n"
            "b.proto:4:23: rpc \"Buy\" streams, but a GenServer handles one "
            "message and gives one answer; remove \"stream\"");
  EXPECT_THAT(result.files, IsEmpty());
}

// -- What is written ----------------------------------------------------------

TEST(GeneratorTest, InitMayComeFromAnImportOrAPublicImportOfIt) {
  const Files more = {
      {"options.proto",
       "syntax = \"proto3\"; package shop.v1; message ShopOptions {}"},
      {"more.proto",
       "syntax = \"proto3\"; package shop.v1;"
       "import public \"options.proto\";"}};
  const std::string body = ServiceFrom("shop.v1.ShopOptions");
  EXPECT_EQ(ErrorOf(body, more, "import \"options.proto\";"), "");
  EXPECT_EQ(ErrorOf(body, more, "import \"more.proto\";"), "");
}

TEST(GeneratorTest, InitMayBeANestedMessage) {
  const Result result = Generate(Shop(ServiceFrom("shop.v1.BuyResponse.Item")));
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(),
              HasSubstr("using Options = ::shop::v1::BuyResponse_Item;"));
}

TEST(GeneratorTest, WithoutInitAServerStartsFromEmpty) {
  const Result result = Generate("syntax = \"proto3\"; service Shop {}");
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(),
              AllOf(HasSubstr("using Options = ::google::protobuf::Empty;"),
                    HasSubstr("#include \"google/protobuf/empty.pb.h\"")));
}

TEST(GeneratorTest, CastOptionSetToFalseIsACall) {
  const Result result =
      Generate(Shop("service Shop {\n"
                    "  rpc Buy(BuyRequest) returns (BuyResponse) {\n"
                    "    option (muster.options.v1.cast) = false;\n"
                    "  }\n"
                    "}\n"));
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(), HasSubstr("{\"Buy\", false},"));
}

TEST(GeneratorTest, AKeywordAsRpcKeepsItsNameOnTheWire) {
  const Result result = Generate(Shop(ServiceWith("delete")));
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(), AllOf(HasSubstr(" delete_(\n"),
                                     HasSubstr("if (method == \"delete\")"),
                                     HasSubstr("{\"delete\", false},")));
  EXPECT_THAT(result.client(), HasSubstr("\"/shop.v1.Shop/delete\""));
}

TEST(GeneratorTest, WithoutPackageThereIsNoNamespace) {
  const Result result = Generate(
      "syntax = \"proto3\"; message M {}"
      "service Shop { rpc Buy(M) returns (M); }");
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(), Not(HasSubstr("namespace")));
  EXPECT_THAT(result.client(), HasSubstr("\"/Shop/Buy\""));
}

// Build rules declare both headers before they know what the file holds.
TEST(GeneratorTest, AFileWithoutServicesGetsBothHeaders) {
  const Result result = Generate(Shop(""));
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(),
              AllOf(HasSubstr("#ifndef "), Not(HasSubstr("class"))));
  EXPECT_THAT(result.client(),
              AllOf(HasSubstr("#ifndef "), Not(HasSubstr("class"))));
}

// Two paths that differ only in punctuation may meet in one translation unit.
TEST(GeneratorTest, HeaderGuardsOfDifferentPathsDiffer) {
  const std::string text = "syntax = \"proto3\";";
  const Result result = GenerateAll({"a/b.proto", "a_b.proto"},
                                    {{"a/b.proto", text}, {"a_b.proto", text}});
  const auto guard = [&](const std::string& stem) {
    const std::string& header = result.server(stem);
    const size_t at = header.find("#ifndef ");
    return header.substr(at, header.find('\n', at) - at);
  };
  EXPECT_NE(guard("a/b"), guard("a_b"));
}

// A comment may hold the printer's own delimiter, and what would go on into
// the code below it.
TEST(GeneratorTest, CommentsAreCopiedAsComments) {
  const Result result = Generate(
      "syntax = \"proto3\";\n"
      "// Costs $price$.\n"
      "//\n"
      "//   100 % \"sure\" \\\n"
      "service Shop {}\n");
  EXPECT_EQ(result.error, "");
  EXPECT_THAT(result.server(), HasSubstr("\n// Costs $price$.\n"
                                         "//\n"
                                         "//   100 % \"sure\" \\ .\n"
                                         "class ShopServer"));
}

// The whole of it, so that each change of the generated code is looked at.
// proto/plugin/README.md says how to accept one.
TEST(GeneratorTest, CounterGolden) {
  const std::string path = "examples/counter/counter.proto";
  const Result result = GenerateAll({path}, {{path, ReadFile(path)}});
  ASSERT_EQ(result.error, "");
  ASSERT_THAT(result.files, SizeIs(2));
  for (const std::string header :
       {"counter.muster.server.h", "counter.muster.client.h"}) {
    const std::string& text = result.files.at("examples/counter/" + header);
    // Bazel keeps what a test leaves there.
    const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
    if (outputs != nullptr) {
      std::ofstream(std::string(outputs) + "/" + header + ".golden") << text;
    }
    EXPECT_EQ(text, ReadFile("tests/unit/proto/plugin/" + header + ".golden"));
  }
}

}  // namespace
}  // namespace muster::plugin
