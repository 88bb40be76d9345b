#include "cluster/cli/cli.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <map>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cluster/boot/labels.h"
#include "cluster/cli/commands.h"
#include "cluster/cli/drain_commands.h"
#include "cluster/cli/exit_code.h"
#include "cluster/cli/supervisor_commands.h"
#include "cluster/cli/tls_commands.h"
#include "cluster/cli/version.h"
#include "cluster/cli/words.h"
#include "cluster/membership/profile.h"
#include "nlohmann/json.hpp"
#include "node/tls/access.h"
#include "node/types/names.h"
#include "node/types/status.h"

namespace muster {
namespace {

constexpr char kEndpointDefault[] = "127.0.0.1:7700";

absl::Status Usage(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "USAGE", what).NotExecuted();
}

// One run of the program: its arguments, read, and the command they name.
class Cli {
 public:
  Cli(std::vector<ServerTypeInfo> types, const CliEnv& env)
      : env_(env), types_(std::move(types)) {
    AddGlobalFlags();
    AddShortcuts();
    AddNouns();
    AddTls();
    NameValues(&app_);
  }

  int Run(const std::vector<std::string>& arguments) {
    ScanOutput(arguments);
    absl::Status words = CheckWords(arguments);
    if (!words.ok()) return Report(words);
    try {
      // CLI11 takes them last first.
      app_.parse(
          std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::CallForHelp&) {
      return Print(app_.help());
    } catch (const CLI::CallForVersion&) {
      return Report(Version(env_, flags_.json));
    } catch (const CLI::ParseError& e) {
      return Report(ParseFailure(e, arguments));
    }
    absl::Status flags = ReadGlobalFlags();
    if (!flags.ok()) return Report(flags);
    return Report(command_());
  }

 private:
  // --- What there is ---------------------------------------------------------

  void AddGlobalFlags() {
    app_.name("muster");
    app_.description(
        "Muster: a cluster of GenServers. One binary, node and command line.");
    app_.footer("Example:\n  muster dev\n\nManual: docs/cli.md");
    app_.require_subcommand(1, 1);
    app_.add_option("--endpoint", endpoint_,
                    "address of a node, or several separated by commas: the "
                    "first that answers (default 127.0.0.1:7700)")
        ->envname("MUSTER_ENDPOINT");
    app_.add_option("-o,--output", output_,
                    "what to print: table or json (default table)")
        ->envname("MUSTER_OUTPUT");
    app_.add_option("--timeout", timeout_,
                    "how long it may take, as 10s or 500ms (default 5s; "
                    "wait and apply 30s, node drain 60s, process move 15s)")
        ->envname("MUSTER_TIMEOUT");
    app_.add_option("--tls-dir", flags_.tls_dir,
                    "directory of ca.pem, cert.pem and key.pem: speak mutual "
                    "TLS, and be who the certificate says (default: "
                    "plaintext, on loopback only)")
        ->envname("MUSTER_TLS_DIR");
    app_.set_version_flag("--version", std::string(kVersion),
                          "the version, and exit");
  }

  // Says in the help what a flag's value is, instead of CLI11's TEXT.
  static void NameValues(CLI::App* app) {
    static const auto* const values = new std::map<std::string, std::string>{
        {"advertise", "HOST:PORT"},
        {"ca", "DIR"},
        {"client", "NAME=PREFIX"},
        {"cluster", "CLUSTER"},
        {"confirm", "CLUSTER"},
        {"data-dir", "DIR"},
        {"days", "DAYS"},
        {"dir", "DIR"},
        {"drain-timeout", "DURATION"},
        {"endpoint", "HOST:PORT,..."},
        {"file", "FILE"},
        {"kind", "KIND"},
        {"label", "KEY=VALUE"},
        {"limit", "N"},
        {"listen", "HOST:PORT"},
        {"name", "NAME"},
        {"node", "NODE"},
        {"options", "JSON"},
        {"out", "DIR"},
        {"output", "table|json"},
        {"prefix", "PREFIX"},
        {"profile", "PROFILE"},
        {"raise-generation", "CLUSTER"},
        {"reason", "REASON"},
        {"restart", "RESTART"},
        {"role", "ROLE"},
        {"san", "HOST"},
        {"store", "STORE"},
        {"store-tls-dir", "DIR"},
        {"supervisor", "SUPERVISOR"},
        {"timeout", "DURATION"},
        {"tls-dir", "DIR"},
        {"to", "NODE"},
        {"trust-domain", "DOMAIN"},
        {"type", "TYPE"},
    };
    for (CLI::Option* const option : app->get_options()) {
      // One without a value, such as `tls check --store`.
      if (option->get_type_size() == 0) continue;
      if (option->get_positional()) option->type_name("");
      for (const std::string& flag : option->get_lnames()) {
        const auto value = values->find(flag);
        if (value != values->end()) option->type_name(value->second);
      }
    }
    for (CLI::App* const command : app->get_subcommands(nullptr)) {
      NameValues(command);
    }
  }

  // Adds a command that runs `run`.
  CLI::App* Add(CLI::App* parent, const std::string& name,
                const std::string& what, const std::string& example,
                std::function<CommandResult()> run, bool is_node = false) {
    CLI::App* const command = parent->add_subcommand(name, what);
    command->footer(absl::StrCat("Example:\n  ", example));
    // Global flags are understood after the command, too.
    command->fallthrough();
    command->callback([this, run = std::move(run), is_node] {
      command_ = [this, run, is_node] {
        if (!is_node && env_.exit_on_interrupt) env_.exit_on_interrupt();
        return run();
      };
    });
    return command;
  }

  CLI::App* AddNoun(const std::string& name, const std::string& what) {
    CLI::App* const noun = app_.add_subcommand(name, what);
    noun->footer(absl::StrCat("Example:\n  muster ", name, " list"));
    noun->require_subcommand(1, 1);
    noun->fallthrough();
    return noun;
  }

  void AddShortcuts() {
    CLI::App* const dev = Add(
        &app_, "dev",
        "Run one node with an in-memory store and the example servers.",
        "muster dev", [this] { return Dev(env_, listen_, types_); },
        /*is_node=*/true);
    dev->add_option("--listen", listen_,
                    "address to serve on, on loopback (default "
                    "127.0.0.1:7700)");

    CLI::App* const apply =
        Add(&app_, "apply",
            "Make a supervision tree what a manifest says, and wait until its "
            "children run.",
            "muster apply -f tree.yaml",
            [this] { return Client().Apply(file_, no_wait_); });
    apply->add_option("-f,--file", file_, "the manifest; - reads stdin")
        ->required();
    apply->add_flag("--no-wait", no_wait_,
                    "return as soon as the tree is stored");

    Add(&app_, "status",
        "One page about the cluster and the node that is "
        "asked.",
        "muster status", [this] { return Client().Status(); });
    Add(&app_, "tree", "Supervisors with their children: state, node, pid.",
        "muster tree", [this] { return Client().Tree(); });

    AddSend("call", "Call a server and print its reply as JSON.",
            "muster call counter_a Increment '{\"by\": 2}'",
            [this] { return Client().Call(target_, method_, json_); });
    AddSend("cast", "Send a server a message without waiting for its handler.",
            "muster cast counter_a Reset",
            [this] { return Client().Cast(target_, method_, json_); });

    CLI::App* const wait =
        Add(&app_, "wait",
            "Wait until a server runs; exit code 8 if it does not in time.",
            "muster wait counter_a --for running --timeout 30s",
            [this] { return WaitFor(); });
    wait->add_option("NAME", target_, "the server's name")->required();
    wait->add_option("--for", condition_, "what to wait for: running")
        ->type_name("STATE");

    CLI::App* const explain = Add(
        &app_, "explain",
        "Why a name is where it is: owner, supervisor, last move, evidence.",
        "muster explain counter_a",
        [this] { return Client().Explain(target_); });
    explain->add_option("NAME", target_, "the name")->required();

    Add(&app_, "version", "Versions of Muster and of what it is linked with.",
        "muster version", [this] { return Version(env_, flags_.json); });
  }

  void AddSend(const std::string& name, const std::string& what,
               const std::string& example, std::function<CommandResult()> run) {
    CLI::App* const send = Add(&app_, name, what, example, std::move(run));
    send->add_option("NAME", target_, "the server's name or pid")->required();
    send->add_option("METHOD", method_,
                     "Increment, Counter/Increment or "
                     "counter.v1.Counter/Increment")
        ->required();
    send->add_option("JSON", json_,
                     "the request (default {}); - reads it from stdin");
  }

  void AddNouns() {
    CLI::App* const node = AddNoun("node", "Nodes of the cluster.");
    CLI::App* const start = Add(
        node, "start",
        "Run a node, and a parent that starts it again after a crash; SIGTERM "
        "or SIGINT moves its children away and leaves.",
        "muster node start --name a --cluster demo --listen 127.0.0.1:7001 "
        "--store etcd://127.0.0.1:2379",
        [this]() -> CommandResult {
          config_.listen = listen_;
          const absl::StatusOr<absl::Duration> patience =
              drain_timeout_ == "0s" ? absl::ZeroDuration()
                                     : ParseDuration(drain_timeout_);
          if (!patience.ok()) {
            return Usage(
                absl::StrCat("--drain-timeout ",
                             absl::string_view(patience.status().message())));
          }
          config_.drain_timeout = *patience;
          config_.tls_dir = flags_.tls_dir;
          for (const std::string& text : grants_) {
            absl::StatusOr<ClientGrant> grant = ParseClientGrant(text);
            if (!grant.ok()) return CommandResult(grant.status());
            config_.clients.push_back(*std::move(grant));
          }
          const absl::StatusOr<Profile> profile = Profile::Named(profile_);
          if (!profile.ok()) return CommandResult(profile.status());
          config_.profile = *profile;
          absl::StatusOr<std::map<std::string, std::string>> labels =
              ParseLabels(labels_);
          if (!labels.ok()) return CommandResult(labels.status());
          config_.labels = *std::move(labels);
          return NodeStart(env_, config_, !no_sentinel_, types_);
        },
        /*is_node=*/true);
    start->add_option("--name", config_.name, "the node's name: a-z 0-9 -")
        ->required();
    start->add_option("--cluster", config_.cluster,
                      "the cluster to join (default muster)");
    start->add_option("--listen", listen_,
                      "address to serve on, on loopback unless there is "
                      "--tls-dir (default 127.0.0.1:7700)");
    start->add_option("--advertise", config_.advertise,
                      "host:port where others reach it (default: as --listen)");
    start->add_option("--store-tls-dir", config_.store_tls_dir,
                      "directory of ca.pem, cert.pem and key.pem for etcd "
                      "(default: plaintext, on loopback only)");
    start
        ->add_option("--client", grants_,
                     "which names a client may reach, as NAME=PREFIX,PREFIX; "
                     "NAME * is every client; may be repeated (default: every "
                     "client, every name)")
        ->take_all();
    start->add_option("--store", config_.store,
                      "memory, or etcd://host:port,... which all nodes of the "
                      "cluster share (default memory)");
    start->add_option("--drain-timeout", drain_timeout_,
                      "how long SIGTERM waits for its children to move away, "
                      "as 30s or 0s (default 30s)");
    start->add_option("--label", labels_,
                      "key=value that placement goes by, such as zone=a; may "
                      "be repeated");
    start->add_option("--data-dir", config_.data_dir,
                      "a directory of this node's own, where it keeps its "
                      "epoch and a lock (default none)");
    start->add_flag("--no-sentinel", no_sentinel_,
                    "be the node itself, without a parent process that "
                    "attests its death and starts it again");
    Add(node, "list", "The nodes of the cluster.", "muster node list",
        [this] { return Client().NodeList(); });
    start->add_option("--profile", profile_,
                      "times of a new cluster: default, fast (a quiet local "
                      "network) or wide (long distances); a cluster that "
                      "exists keeps its own");
    start->add_option("--raise-generation", config_.raise_generation,
                      "the cluster's name: after the store was restored from a "
                      "backup, raise the generation above all that this node "
                      "has seen");
    CLI::App* const node_get =
        Add(node, "get", "What a node is and how it is.", "muster node get a",
            [this] { return Client().NodeGet(node_); });
    node_get->add_option("NODE", node_, "the node")->required();
    CLI::App* const remove = Add(
        node, "remove",
        "End the membership of a node that cannot be reached. Its names are "
        "free once it certainly cannot act any more.",
        "muster node remove b --yes",
        [this] { return Client().NodeRemove(node_, consent_); });
    remove->add_option("NODE", node_, "the node")->required();
    remove->add_flag("--yes", consent_.yes, "do not ask");
    remove->add_flag("--dry-run", consent_.dry_run,
                     "only say what would be done");
    CLI::App* const raise =
        Add(node, "raise-generation",
            "After a restore of the store from a backup: make every node join "
            "anew, so that no epoch is ever used twice.",
            "muster node raise-generation --confirm demo",
            [this] { return Client().RaiseGeneration(target_); });
    raise->add_option("--confirm", target_, "the cluster's name")->required();
    CLI::App* const drain =
        Add(node, "drain",
            "Move the children of a node to others, with their state, and give "
            "it nothing new. Safe to interrupt and to repeat; exit code 9 if "
            "something is left.",
            "muster node drain a --yes",
            [this] { return NodeDrain(env_, flags_, node_, consent_); });
    drain->add_option("NODE", node_, "the node")->required();
    drain->add_flag("--dry-run", consent_.dry_run, "only say what it has");
    drain->add_flag("--yes", consent_.yes, "do not ask");
    CLI::App* const undrain =
        Add(node, "undrain", "Let a node that drains take children again.",
            "muster node undrain a",
            [this] { return NodeUndrain(env_, flags_, node_); });
    undrain->add_option("NODE", node_, "the node")->required();

    CLI::App* const process = AddNoun("process", "Processes of the nodes.");
    CLI::App* const processes =
        Add(process, "list", "Processes of all nodes, or of one.",
            "muster process list --node a",
            [this] { return Client().ProcessList(node_, system_); });
    processes->add_option("--node", node_, "only those of this node");
    processes->add_flag("--system", system_, "also Muster's own");
    CLI::App* const get =
        Add(process, "get", "What a process is, and its state.",
            "muster process get counter_a",
            [this] { return Client().ProcessGet(target_); });
    get->add_option("NAME", target_, "the process's name or pid")->required();
    CLI::App* const stop =
        Add(process, "stop",
            "End a process, with its Terminate, and wait until it is gone. A "
            "supervisor may start it again.",
            "muster process stop counter_a",
            [this] { return Client().ProcessStop(target_, reason_); });
    stop->add_option("NAME", target_, "the process's name or pid")->required();
    stop->add_option("--reason", reason_,
                     "normal (the default), shutdown, or a text of your own");
    CLI::App* const trace =
        Add(process, "trace",
            "Print what a process handles and answers, as it happens.",
            "muster process trace counter_a --for 10s",
            [this] { return Client().ProcessTrace(target_, for_); });
    trace->add_option("NAME", target_, "the process's name or pid")->required();
    trace->add_option("--for", for_, "how long, as 10s or 2m (default 10s)")
        ->type_name("DURATION");

    CLI::App* const move =
        Add(process, "move",
            "Move a child to another node, with its state if its type has one.",
            "muster process move counter_a --to b",
            [this] { return ProcessMove(env_, flags_, target_, node_); });
    move->add_option("NAME", target_, "the child's cluster-wide name")
        ->required();
    move->add_option("--to", node_, "the node (default: where placement says)");

    CLI::App* const name = AddNoun("name", "Cluster-wide names.");
    CLI::App* const names =
        Add(name, "list", "Names, sorted, with where they live.",
            "muster name list --prefix counter",
            [this] { return Client().NameList(prefix_, system_); });
    names->add_option("--prefix", prefix_, "only names that begin so");
    names->add_flag("--system", system_, "also Muster's own");
    CLI::App* const whereis = Add(name, "whereis", "Where a name lives now.",
                                  "muster name whereis counter_a",
                                  [this] { return Client().WhereIs(target_); });
    whereis->add_option("NAME", target_, "the name")->required();
    CLI::App* const history =
        Add(name, "history", "Where a name was, and why it moved.",
            "muster name history counter_a", [this] {
              events_.set_name(target_);
              events_.set_limit(limit_);
              return Client().NameHistory(events_);
            });
    history->add_option("NAME", target_, "the name")->required();
    history->add_option("--limit", limit_, "the last so many (default 100)");

    CLI::App* const event =
        AddNoun("event", "What has happened to nodes, names and trees.");
    const auto read = [this] {
      events_.set_name(event_name_);
      events_.set_node(node_);
      events_.set_supervisor(event_supervisor_);
      events_.set_kind(event_kind_);
      events_.set_limit(limit_);
      return events_;
    };
    CLI::App* const events =
        Add(event, "list", "Events, oldest first.",
            "muster event list --name counter_a --kind child.",
            [this, read] { return Client().EventList(read()); });
    CLI::App* const tail =
        Add(event, "tail", "The last events, and then each as it happens.",
            "muster event tail --node a",
            [this, read] { return Client().EventTail(read()); });
    for (CLI::App* const command : {events, tail}) {
      command->add_option("--name", event_name_,
                          "of this name, and of the node that had it then");
      command->add_option("--node", node_, "of this node");
      command->add_option("--supervisor", event_supervisor_,
                          "of this supervisor and its children");
      command->add_option(
          "--kind", event_kind_,
          "whose kind begins so, such as child. or node.reaped");
      command->add_option("--limit", limit_, "the last so many (default 100)");
    }

    AddSupervisorNoun();
  }

  void AddTls() {
    CLI::App* const tls =
        AddNoun("tls", "Certificates for mutual TLS, in files.");
    tls->footer("Example:\n  muster tls check /etc/muster/tls");
    CLI::App* const init = Add(
        tls, "init", "Make a certificate authority for one cluster.",
        "muster tls init --dir ca --trust-domain example.org --cluster demo",
        [this] { return TlsInit(env_, tls_); });
    init->add_option("--dir", tls_.dir, "where to keep it")->required();
    init->add_option("--trust-domain", tls_.trust_domain,
                     "first part of its SPIFFE ids: a-z 0-9 . _ -")
        ->required();
    init->add_option("--cluster", tls_.cluster, "the cluster's name")
        ->required();
    init->add_option("--days", tls_.days, "how long it is good (default 3650)");
    CLI::App* const issue =
        Add(tls, "issue", "Make a key and a certificate for it.",
            "muster tls issue --ca ca --role node --name a --out a.tls",
            [this] { return TlsIssue(env_, tls_); });
    issue->add_option("--ca", tls_.dir, "the authority's directory")
        ->required();
    issue
        ->add_option("--role", tls_.role,
                     "node, client, viewer, operator, admin; or etcd, for "
                     "members of the store")
        ->required();
    issue->add_option("--name", tls_.name, "the node's or person's name")
        ->required();
    issue->add_option("--out", tls_.out, "where to write it")->required();
    issue
        ->add_option("--san", tls_.hosts,
                     "a host name or address it is good for, too; may be "
                     "repeated")
        ->take_all();
    issue->add_option("--cluster", tls_.cluster,
                      "another cluster than the authority's");
    issue->add_option("--days", tls_.days, "how long it is good (default 90)");
    CLI::App* const check =
        Add(tls, "check",
            "Whether a node could use a directory now; exit code 8 if not.",
            "muster tls check /etc/muster/tls",
            [this] { return TlsCheck(env_, tls_, flags_.json); });
    check->add_option("DIR", tls_.dir, "the directory")->required();
    check->add_flag("--store", tls_.any_certificate,
                    "it is for etcd: needs no SPIFFE id");
  }

  void AddSupervisorNoun() {
    CLI::App* const noun =
        AddNoun("supervisor", "Trees of the cluster and their children.");
    Add(noun, "list", "Supervisors, with how many of their children run.",
        "muster supervisor list",
        [this] { return SupervisorList(env_, flags_); });
    CLI::App* const tree =
        Add(noun, "tree", "Children of all supervisors, or of one.",
            "muster supervisor tree application", [this] {
              return SupervisorTree(env_, flags_, supervisor_.supervisor);
            });
    tree->add_option("SUPERVISOR", supervisor_.supervisor, "only this one");
    CLI::App* const get = Add(
        noun, "get", "A supervisor: strategy, intensity, state, children.",
        "muster supervisor get application",
        [this] { return SupervisorGet(env_, flags_, supervisor_.supervisor); });
    get->add_option("SUPERVISOR", supervisor_.supervisor, "its id")->required();
    CLI::App* const start = Add(
        noun, "start-child", "Add a child to a tree, and wait until it runs.",
        "muster supervisor start-child application c --type counter "
        "--options '{\"initial_value\": 5}'",
        [this] { return SupervisorStartChild(env_, flags_, supervisor_); });
    start->add_option("SUPERVISOR", supervisor_.supervisor, "its id")
        ->required();
    start->add_option("CHILD", supervisor_.child, "the child's id");
    start->add_option("--type", supervisor_.type, "its server type");
    start->add_option("--name", supervisor_.name,
                      "its cluster-wide name (default: the id)");
    start->add_option("--options", supervisor_.options,
                      "the type's options as JSON; - reads stdin");
    start->add_option("--restart", supervisor_.restart,
                      "permanent, transient or temporary (default: the "
                      "type's)");
    start->add_option("-f,--file", supervisor_.file,
                      "the child in YAML, as in a manifest; - reads stdin");
    AddChildVerb(noun, "terminate-child",
                 "Stop a child; it stays part of the tree.", true, [this] {
                   return SupervisorTerminateChild(env_, flags_, supervisor_);
                 });
    AddChildVerb(
        noun, "restart-child",
        "Start a child that was terminated or has ended.", false,
        [this] { return SupervisorRestartChild(env_, flags_, supervisor_); });
    AddChildVerb(
        noun, "delete-child",
        "Forget a child that was terminated or has ended.", true,
        [this] { return SupervisorDeleteChild(env_, flags_, supervisor_); });
  }

  void AddChildVerb(CLI::App* noun, const std::string& verb,
                    const std::string& what, bool destroys,
                    std::function<CommandResult()> run) {
    CLI::App* const command =
        Add(noun, verb, what,
            absl::StrCat("muster supervisor ", verb, " application counter_a",
                         destroys ? " --yes" : ""),
            std::move(run));
    command->add_option("SUPERVISOR", supervisor_.supervisor, "its id")
        ->required();
    command->add_option("CHILD", supervisor_.child, "the child's id")
        ->required();
    if (!destroys) return;
    command->add_flag("--yes", supervisor_.consent.yes, "do not ask");
    command->add_flag("--dry-run", supervisor_.consent.dry_run,
                      "only say what it would do");
  }

  CommandResult WaitFor() {
    if (condition_ != "running") {
      return Usage(absl::StrCat("--for ", LogSafe(condition_),
                                " is not known; write --for running"));
    }
    return Client().Wait(target_);
  }

  ClientCommands Client() { return ClientCommands(env_, flags_); }

  // --- Reading arguments -----------------------------------------------------

  // Errors in the arguments are reported as asked for, too.
  void ScanOutput(const std::vector<std::string>& arguments) {
    for (size_t i = 0; i < arguments.size() && arguments[i] != "--"; ++i) {
      const std::string& word = arguments[i];
      const bool next = word == "-o" || word == "--output";
      flags_.json |=
          word == "-ojson" || word == "--output=json" ||
          (next && i + 1 < arguments.size() && arguments[i + 1] == "json");
    }
  }

  static bool TakesValue(absl::string_view flag) {
    return flag == "--endpoint" || flag == "-o" || flag == "--output" ||
           flag == "--timeout" || flag == "--tls-dir";
  }

  static std::vector<std::string> NamesOf(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands(nullptr)) {
      names.push_back(command->get_name());
    }
    return names;
  }

  static const CLI::App* Find(const CLI::App& app, const std::string& name) {
    for (const CLI::App* command : app.get_subcommands(nullptr)) {
      if (command->get_name() == name) return command;
    }
    return nullptr;
  }

  // Whether noun and verb exist, with a suggestion: CLI11 makes none.
  absl::Status CheckWords(const std::vector<std::string>& arguments) const {
    const CLI::App* level = &app_;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string& word = arguments[i];
      if (word == "--help" || word == "-h" || word == "--version") return {};
      if (word.size() > 1 && word[0] == '-') {
        if (TakesValue(word)) ++i;
        continue;
      }
      const std::vector<std::string> names = NamesOf(*level);
      const CLI::App* const next = Find(*level, word);
      if (next == nullptr) {
        const std::string near = DidYouMean(word, names);
        return Usage(absl::StrCat(
            level == &app_
                ? "unknown command "
                : absl::StrCat("unknown verb of ", level->get_name(), ": "),
            LogSafe(word),
            near.empty()
                ? absl::StrCat("; there are ", absl::StrJoin(names, ", "))
                : near));
      }
      level = next;
      if (NamesOf(*level).empty()) return {};
    }
    return Usage(absl::StrCat(
        level == &app_ ? std::string("no command")
                       : absl::StrCat("no verb after ", level->get_name()),
        "; there are ", absl::StrJoin(NamesOf(*level), ", ")));
  }

  // The command that was named, as far as CLI11 got.
  const CLI::App* Named() const {
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands()[0];
    return app;
  }

  absl::Status ParseFailure(const CLI::ParseError& e,
                            const std::vector<std::string>& arguments) const {
    std::vector<std::string> known;
    for (const CLI::App* app : {Named(), &app_}) {
      for (const CLI::Option* option : app->get_options()) {
        for (const std::string& flag : option->get_lnames()) {
          known.push_back("--" + flag);
        }
        for (const std::string& flag : option->get_snames()) {
          known.push_back("-" + flag);
        }
      }
    }
    for (const std::string& word : arguments) {
      if (word == "--") break;
      if (word.size() < 2 || word[0] != '-') continue;
      const std::string flag = word.substr(0, word.find('='));
      if (std::find(known.begin(), known.end(), flag) != known.end()) continue;
      if (word[1] != '-' && absl::StartsWith(word, "-o")) continue;
      if (dynamic_cast<const CLI::ExtrasError*>(&e) == nullptr) continue;
      return Usage(absl::StrCat("unknown flag ", LogSafe(flag),
                                DidYouMean(flag, known)));
    }
    // All values but whole numbers are texts to CLI11.
    absl::string_view what = e.what();
    const size_t equals = what.find(" = ");
    if (dynamic_cast<const CLI::ConversionError*>(&e) != nullptr &&
        absl::ConsumePrefix(&what, "Could not convert: ") &&
        equals != what.npos) {
      const std::pair<absl::string_view, absl::string_view> parts =
          absl::StrSplit(what, absl::MaxSplits(" = ", 1));
      return Usage(absl::StrCat(parts.first, " ", LogSafe(parts.second),
                                " is no whole number"));
    }
    return Usage(e.what());
  }

  absl::Status ReadGlobalFlags() {
    if (output_ != "table" && output_ != "json") {
      return Usage(absl::StrCat("-o ", LogSafe(output_),
                                " is not known; write -o table or -o json"));
    }
    flags_.json = output_ == "json";
    if (!timeout_.empty()) {
      const absl::StatusOr<absl::Duration> timeout = ParseDuration(timeout_);
      if (!timeout.ok()) {
        return Usage(absl::StrCat(
            "--timeout ", absl::string_view(timeout.status().message())));
      }
      flags_.timeout = *timeout;
    }
    for (const absl::string_view one : absl::StrSplit(endpoint_, ',')) {
      absl::StatusOr<NodeAddress> address =
          flags_.tls_dir.empty() ? ParseLoopbackAddress(one)
                                 : ParseNodeAddress(one, HostNames::kAllowed);
      if (!address.ok()) return address.status();
      flags_.endpoints.push_back(*std::move(address));
    }
    return absl::OkStatus();
  }

  // --- Reporting -------------------------------------------------------------

  int Print(const std::string& text) {
    *env_.out << text;
    return Report(CommandResult());
  }

  int Report(const CommandResult& result) {
    env_.out->flush();
    CommandResult reported = result;
    if (!*env_.out && result.status.ok()) {
      reported = absl::Status(Error(absl::StatusCode::kInternal, "OUTPUT",
                                    "stdout cannot be written to"));
    }
    if (reported.status.ok()) return reported.exit_code;
    if (!flags_.json) {
      *env_.err << ErrorText(reported.status) << std::flush;
      return reported.exit_code;
    }
    std::string text = ErrorJson(reported.status);
    if (!reported.unreachable.empty()) {
      auto error = nlohmann::ordered_json::parse(text);
      error["unreachable"] = reported.unreachable;
      text = error.dump() + "\n";
    }
    *env_.err << text << std::flush;
    return reported.exit_code;
  }

  const CliEnv& env_;
  const std::vector<ServerTypeInfo> types_;
  CLI::App app_;
  GlobalFlags flags_;
  std::function<CommandResult()> command_;

  // Where CLI11 puts what it reads.
  std::string endpoint_ = kEndpointDefault;
  std::string output_ = "table";
  std::string timeout_;
  std::string listen_ = kEndpointDefault;
  std::string target_;
  std::string method_;
  std::string json_ = "{}";
  std::string condition_ = "running";
  std::string reason_ = "normal";
  std::string for_ = "10s";
  std::string file_;
  std::string node_;
  std::string profile_ = "default";
  Consent consent_;
  std::string drain_timeout_ = "30s";
  std::string prefix_;
  std::vector<std::string> labels_;
  bool no_sentinel_ = false;
  admin::v1::ListEventsRequest events_;
  std::string event_name_;
  std::string event_supervisor_;
  std::string event_kind_;
  int limit_ = 100;
  bool no_wait_ = false;
  bool system_ = false;
  std::vector<std::string> grants_;
  TlsFlags tls_;
  NodeConfig config_;
  SupervisorFlags supervisor_;
};

}  // namespace

int RunCli(int argc, const char* const* argv, std::vector<ServerTypeInfo> types,
           const CliEnv& env) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) arguments.push_back(argv[i]);
  try {
    return Cli(std::move(types), env).Run(arguments);
  } catch (const std::exception& e) {
    // Libraries throw; nothing of ours does.
    *env.err << ErrorText(Error(absl::StatusCode::kInternal, "BUG", e.what()))
             << std::flush;
    return kExitInternal;
  }
}

}  // namespace muster
