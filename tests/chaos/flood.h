// Loads of a nemesis run that somebody asks for: floods, a steady caller, a
// crowd of clients.
#ifndef MUSTER_TESTS_CHAOS_FLOOD_H_
#define MUSTER_TESTS_CHAOS_FLOOD_H_

#include <istream>
#include <string>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"
#include "tests/chaos/record.h"

namespace muster {

// "OK", or "<code> <reason> <outcome>".
std::string Describe(const absl::Status& status);

// Each reads its arguments and blocks until it is over. ENDPOINTS are
// "host:port,...". The answer is {"error": ...} if nothing can be sent.

// SECONDS RATE call|cast TIMEOUT_MS WAIT_US BYTES ENDPOINTS NAME...
// Sends RATE a second in all, whether or not they are answered, each once, of
// BYTES, with handlers that wait for WAIT_US. Answers how many were sent, and
// by how they ended: how many, and after how many milliseconds (n, p50, p99,
// max). Records all under `session`.
nlohmann::json Flood(const std::string& tls_dir, const std::string& session,
                     Record* record, std::istream& arguments);

// SECONDS ENDPOINTS NAME...
// One caller that asks one name after the other. Answers the same as a flood.
nlohmann::json Steady(const std::string& tls_dir, std::istream& arguments);

// CLIENTS SECONDS RATE TIMEOUT_MS ENDPOINTS NAME
// Clients of their own that may send again what was not executed, RATE calls a
// second each. Answers the same, and `again`: what was sent again.
nlohmann::json Crowd(const std::string& tls_dir, std::istream& arguments);

}  // namespace muster

#endif  // MUSTER_TESTS_CHAOS_FLOOD_H_
