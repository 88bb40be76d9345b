// The public face of node/: what a GenServer is written with.
#ifndef MUSTER_NODE_NODE_H_
#define MUSTER_NODE_NODE_H_

#include "node/gen_server/gen_server.h"            // IWYU pragma: export
#include "node/gen_server/multi_call.h"            // IWYU pragma: export
#include "node/gen_server/send_request.h"          // IWYU pragma: export
#include "node/gen_server/server_type.h"           // IWYU pragma: export
#include "node/gen_server/start.h"                 // IWYU pragma: export
#include "node/gen_server/sys.h"                   // IWYU pragma: export
#include "node/gen_server/where_is.h"              // IWYU pragma: export
#include "node/process/caller.h"                   // IWYU pragma: export
#include "node/process/context.h"                  // IWYU pragma: export
#include "node/process/result.h"                   // IWYU pragma: export
#include "node/process/signals.h"                  // IWYU pragma: export
#include "node/registry/names.h"                   // IWYU pragma: export
#include "node/registry/registry.h"                // IWYU pragma: export
#include "node/supervisor/dynamic_supervisor.h"    // IWYU pragma: export
#include "node/supervisor/erpc.h"                  // IWYU pragma: export
#include "node/supervisor/partition_supervisor.h"  // IWYU pragma: export
#include "node/supervisor/remote_tasks.h"          // IWYU pragma: export
#include "node/supervisor/supervisor.h"            // IWYU pragma: export
#include "node/supervisor/supervisor_client.h"     // IWYU pragma: export
#include "node/supervisor/task_stream.h"           // IWYU pragma: export
#include "node/supervisor/task_supervisor.h"       // IWYU pragma: export
#include "node/types/exit_reason.h"                // IWYU pragma: export
#include "node/types/info.h"                       // IWYU pragma: export
#include "node/types/pid.h"                        // IWYU pragma: export
#include "node/types/server_name.h"                // IWYU pragma: export
#include "node/types/server_ref.h"                 // IWYU pragma: export
#include "node/types/status.h"                     // IWYU pragma: export

#endif  // MUSTER_NODE_NODE_H_
