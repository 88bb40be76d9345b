// What generated clients (<stem>.muster.client.h) are made of: Caller and the
// calls under way. For generated code; a user includes the generated header.
#ifndef MUSTER_CLIENT_CLIENT_STUB_H_
#define MUSTER_CLIENT_CLIENT_STUB_H_

// Caller, CallOptions, PendingCall, PendingCast, internal::TypedCall,
// internal::TypedCast.
#include "node/process/caller.h"  // IWYU pragma: export
// ServerRef.
#include "node/types/server_ref.h"  // IWYU pragma: export

#endif  // MUSTER_CLIENT_CLIENT_STUB_H_
