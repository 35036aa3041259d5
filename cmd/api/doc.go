// Package api is how programs talk to the daemon: HTTP/1.1 with JSON over its
// Unix socket.
//
//	GET  /v1/ping                                who answers: build, host, protocol
//	POST /v1/requests                            file one request (CloudEvents JSON) → {"position": N}
//	GET  /v1/events?after=N&transaction=ID&kind=GLOB&follow=true
//	                                             facts, a line each: {"event": …}, and while following
//	                                             {"progress": …} of that transaction and {"heartbeat": N}
//	GET  /v1/wait?position=N                     returns once the read models have reached N
//	GET  /v1/status                              how the daemon is
//	POST /v1/replay?projection=NAME&verify=true  rebuild, or compare with a rebuild
//	POST /v1/stop                                leave once nothing runs
//
// Errors are {"error": {kind, subject, message, hint}} with a status that fits.
//
// It promises: who calls is told by the kernel (SO_PEERCRED), never by the
// caller; the actor of a request is overwritten with it; only requests pass,
// never facts; what each caller may do stands in one table ([Authorize]). Anybody
// may read and plan; whoever may change the machine is said by the backend.
package api
