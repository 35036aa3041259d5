// Package api is the interface between programs and the daemon: HTTP/1.1 with JSON over
// the daemon's Unix socket. The table lists every route and its callers:
//
//	GET  /v1/ping            any user      build, host, protocol version and process of the daemon
//	POST /v1/requests        any user (1)  submit one request (CloudEvents JSON) → {"position": N}
//	GET  /v1/events          any user      facts, one a line: {"event": …}. Query: after=N,
//	                                       transaction=ID, kind=PATTERN, follow=true. A stream that
//	                                       follows also has {"progress": …} of that transaction
//	                                       and {"heartbeat": N}
//	GET  /v1/wait            any user      returns when the read models have reached position=N
//	GET  /v1/status          any user      state of the daemon, the log and the read models
//	GET  /v1/history         any user      transactions, newest first. Query: package=NAME,
//	                                       status=STATE, since=TIME, until=TIME (RFC 3339),
//	                                       limit=N (default 50, 0 for all)
//	GET  /v1/history/REF     any user      one transaction; REF as in 'cortex show'
//	GET  /v1/packages        any user      packages. Query: name=PATTERN, status=STATE, held=true,
//	                                       mark=manual|auto, limit=N (default 0: all)
//	GET  /v1/models          any user      state of the model providers; probe=true probes them
//	POST /v1/memory          any user (2)  remember or forget an item about the caller
//	POST /v1/ask             owner, root   send a question to a model; the answer is streamed
//	POST /v1/replay          root          rebuild projection=NAME or, with verify=true, compare it
//	POST /v1/collect         root          collect garbage in the blob store; forget=TIME
//	POST /v1/observe         root          record the changes that the hooks have seen
//	POST /v1/stop            root          stop the daemon when no transaction runs
//
// "Any user" is any user who can connect: every local user for the system's daemon, and
// only the owner (and root) for a user's own daemon. The owner is the user that the daemon
// runs as. "Root" is a caller for whom [Daemon.MayChange] returns true: root, and only if
// the daemon runs as root as well.
//
// (1) A request that may change the machine ([events.Request.MayChangeMachine]: an
// approval, a retry) is for root. Rules that depend on the subject of a request are
// checked by its handler in consumers/commands, which sees the recorded caller: only its
// requester or root cancels a transaction, and only the owner or root forgets answers.
//
// (2) The caller states and forgets items about itself only; the daemon appends the fact
// under the caller's uid.
//
// Errors are {"error": {kind, subject, message, hint}} with a matching status.
//
// The package promises: the kernel identifies the caller (SO_PEERCRED); the caller cannot
// claim another identity; the server replaces the actor of a request with the
// caller; clients submit requests and never facts; the permission of each route is in the
// table of routes in [New], and [Authorize] decides on every permission.
package api
