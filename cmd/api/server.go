package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"cortex/consumers/llm/router"
	"cortex/events"
	"cortex/projections/history"
	"cortex/projections/packages"
)

// Limits of the server.
const (
	maxBody        = 1 << 20
	headerTimeout  = 5 * time.Second
	heartbeatEvery = 2 * time.Second
	maxConnections = 256
)

// Daemon is the part of the daemon that the server calls. It is safe for concurrent use.
type Daemon interface {
	Host() events.HostID
	// MayChange reports whether uid may change the machine.
	MayChange(uid int) bool
	// Submit stores a request durably and returns its position.
	Submit(ctx context.Context, e events.Event) (events.Position, error)
	Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error]
	Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error]
	// Progress returns a channel with the progress of a transaction. It is closed when
	// ctx is done.
	Progress(ctx context.Context, t events.TransactionID) <-chan events.Progress
	// WaitProjected returns once every read model has reached p.
	WaitProjected(ctx context.Context, p events.Position) error
	Head(ctx context.Context) (events.Link, error)
	Status(ctx context.Context) (DaemonStatus, error)
	Replay(ctx context.Context, projection string, verify bool) ([]ReplayResult, error)
	// CollectGarbage removes from the blob store all blobs that no undo needs. Transactions
	// that ended before forget can no longer be undone: their blobs are removed as well.
	CollectGarbage(ctx context.Context, forget time.Time) (*events.GarbageCollected, error)
	// RecordExternalChanges records the changes that the hooks of apt and dpkg have spooled.
	RecordExternalChanges(ctx context.Context) error
	// Ask answers a question from the cache or through a model. It calls delta with each
	// part of the answer as it arrives.
	Ask(ctx context.Context, who events.Actor, q events.Question, delta func(router.Delta)) (events.Reply, error)
	// ModelProvidersStatus returns the state of the model providers. With probe it first
	// sends a request to each of them.
	ModelProvidersStatus(ctx context.Context, probe bool) (ModelProvidersStatus, error)
	// UpdateMemory remembers or forgets an item about who, and returns the position of
	// the fact.
	UpdateMemory(ctx context.Context, who events.Actor, m MemoryChange) (events.Position, error)
	// History, Transaction and Packages answer questions about the past from the read
	// models; ref is a number, last, last-N, the start of a UUID, or a plan id.
	History(ctx context.Context, f history.Filter) ([]history.TransactionRow, error)
	Transaction(ctx context.Context, ref string) (history.TransactionDetail, error)
	Packages(ctx context.Context, f packages.Filter) ([]packages.PackageRow, error)
	// StartupNotes returns messages about the start-up for the user.
	StartupNotes() []string
	// Stop makes the daemon stop when no transaction runs.
	Stop()
}

// permission is the permission that a route requires.
type permission int

const (
	permRead   permission = iota // read state and history
	permPlan                     // submit requests that do not change the machine
	permOwn                      // change items about the caller
	permAsk                      // spend the owner's model budget
	permChange                   // change the machine or its history
)

// Authorize reports whether a caller has a permission. owner is true if the caller is the
// user that the daemon runs as; mayChange is the result of [Daemon.MayChange].
func Authorize(need permission, owner, mayChange bool) bool {
	switch need {
	case permRead, permPlan, permOwn:
		return true
	case permAsk:
		return owner || mayChange
	case permChange:
		return mayChange
	}
	return false
}

// SocketServer serves the API of a [Daemon] on a socket.
type SocketServer struct {
	backend           Daemon
	ping              Ping
	logger            *slog.Logger
	server            *http.Server
	connections       atomic.Int64
	connectionChanged chan struct{} // receives when connections changes
	notesOnce         sync.Once
}

// New returns a server; [SocketServer.Serve] starts it.
func New(b Daemon, build string, pid, uid int, logger *slog.Logger) *SocketServer {
	srv := &SocketServer{
		backend: b, logger: logger, connectionChanged: make(chan struct{}, 1),
		ping: Ping{Protocol: ProtocolVersion, Build: build, PID: pid, UID: uid, Host: b.Host()},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ping", srv.guard(permRead, srv.getPing))
	mux.HandleFunc("POST /v1/requests", srv.guard(permPlan, srv.postRequest))
	mux.HandleFunc("GET /v1/events", srv.guard(permRead, srv.getEvents))
	mux.HandleFunc("GET /v1/wait", srv.guard(permRead, srv.getWait))
	mux.HandleFunc("GET /v1/status", srv.guard(permRead, srv.getStatus))
	mux.HandleFunc("GET /v1/history", srv.guard(permRead, srv.getHistory))
	mux.HandleFunc("GET /v1/history/{ref}", srv.guard(permRead, srv.getTransaction))
	mux.HandleFunc("GET /v1/packages", srv.guard(permRead, srv.getPackages))
	mux.HandleFunc("POST /v1/replay", srv.guard(permChange, srv.postReplay))
	mux.HandleFunc("POST /v1/collect", srv.guard(permChange, srv.postCollect))
	mux.HandleFunc("POST /v1/ask", srv.guard(permAsk, srv.postAsk))
	mux.HandleFunc("POST /v1/memory", srv.guard(permOwn, srv.postMemory))
	mux.HandleFunc("GET /v1/models", srv.guard(permRead, srv.getModels))
	mux.HandleFunc("POST /v1/observe", srv.guard(permChange, srv.postObserve))
	mux.HandleFunc("POST /v1/stop", srv.guard(permChange, srv.postStop))
	srv.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 16 << 10,
		ConnContext: withPeer, ConnState: srv.trackConnection,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	return srv
}

func (srv *SocketServer) trackConnection(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		srv.connections.Add(1)
	case http.StateClosed, http.StateHijacked:
		srv.connections.Add(-1)
	case http.StateActive, http.StateIdle:
		return
	}
	select {
	case srv.connectionChanged <- struct{}{}:
	default:
	}
}

// ConnectionCount returns the number of open connections.
func (srv *SocketServer) ConnectionCount() int { return int(srv.connections.Load()) }

// ConnectionChanges returns a channel that receives when the number of connections changes.
func (srv *SocketServer) ConnectionChanges() <-chan struct{} { return srv.connectionChanged }

// Serve serves l until ctx is done, then closes all connections.
func (srv *SocketServer) Serve(ctx context.Context, l net.Listener) error {
	srv.server.BaseContext = func(net.Listener) context.Context { return ctx }
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.server.Shutdown(grace) != nil {
			_ = srv.server.Close()
		}
	}()
	err := srv.server.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-done
		return nil
	}
	return err
}

type handler func(w http.ResponseWriter, r *http.Request, who events.Actor) error

// guard identifies the caller and checks the permission before it calls h.
func (srv *SocketServer) guard(need permission, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		who, ok := peerActor(r)
		var err error
		switch {
		case !ok:
			err = &events.Error{Op: "api.guard", Kind: events.ErrConfirmation, Err: errors.New("the kernel reported no credentials of the caller")}
		case srv.connections.Load() > maxConnections:
			err = &events.Error{Op: "api.guard", Kind: events.ErrUnavailable, Err: errors.New("too many connections"), Hint: "try again in a moment"}
		case !srv.authorize(need, who):
			err = forbidden(who)
		default:
			err = h(w, r, who)
		}
		if err != nil {
			srv.writeError(w, err)
		}
	}
}

func (srv *SocketServer) authorize(need permission, who events.Actor) bool {
	return Authorize(need, who.UID == srv.ping.UID, srv.backend.MayChange(who.UID))
}

func forbidden(who events.Actor) error {
	return &events.Error{Op: "api.guard", Kind: events.ErrConfirmation, Err: fmt.Errorf("user %s may not change this machine", who.User), Hint: "run the command with sudo"}
}

func (srv *SocketServer) writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch events.KindOf(err) {
	case events.ErrUsage:
		status = http.StatusBadRequest
	case events.ErrNotFound:
		status = http.StatusNotFound
	case events.ErrConfirmation, events.ErrDenied:
		status = http.StatusForbidden
	case events.ErrConflict, events.ErrStale:
		status = http.StatusConflict
	case events.ErrUnavailable, events.ErrLockBusy:
		status = http.StatusServiceUnavailable
	case events.ErrFull:
		status = http.StatusInsufficientStorage
	case events.ErrInternal, events.ErrCancelled, events.ErrPartial, events.ErrApt, events.ErrInterrupted, events.ErrCorrupt:
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(errorBody{events.FailureOf(err)})
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func (srv *SocketServer) getPing(w http.ResponseWriter, _ *http.Request, who events.Actor) error {
	p := srv.ping
	p.MayChange = srv.backend.MayChange(who.UID)
	srv.notesOnce.Do(func() { p.StartupNotes = srv.backend.StartupNotes() }) // shown once, to the first caller
	return writeJSON(w, p)
}

func (srv *SocketServer) postRequest(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &events.Error{Op: "api.postRequest", Kind: events.ErrUsage, Err: fmt.Errorf("read the request: %w", err)}
	}
	e, req, err := events.ParseRequest(body)
	if err != nil {
		return err
	}
	if req.MayChangeMachine() && !srv.authorize(permChange, who) {
		return forbidden(who)
	}
	e.Actor, e.Host = who, srv.backend.Host()
	position, err := srv.backend.Submit(r.Context(), e)
	if err != nil {
		return err
	}
	return writeJSON(w, PositionReply{position})
}

func (srv *SocketServer) getWait(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	p, err := parsePosition(r, "position")
	if err != nil {
		return err
	}
	if err := srv.backend.WaitProjected(r.Context(), p); err != nil {
		return err
	}
	return writeJSON(w, PositionReply{p})
}

func (srv *SocketServer) getStatus(w http.ResponseWriter, r *http.Request, who events.Actor) error {
	s, err := srv.backend.Status(r.Context())
	if err != nil {
		return err
	}
	s.Ping = srv.ping
	s.MayChange = srv.backend.MayChange(who.UID)
	return writeJSON(w, s)
}

func (srv *SocketServer) postReplay(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	done, err := srv.backend.Replay(r.Context(), r.FormValue("projection"), r.FormValue("verify") == "true")
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

func (srv *SocketServer) postCollect(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	var forget time.Time
	if v := r.FormValue("forget"); v != "" {
		t, err := time.Parse(time.RFC3339Nano, v)
		if err != nil {
			return &events.Error{Op: "api.postCollect", Kind: events.ErrUsage, Subject: "forget", Err: fmt.Errorf("%q is not a time", v)}
		}
		forget = t
	}
	done, err := srv.backend.CollectGarbage(r.Context(), forget)
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

func (srv *SocketServer) postObserve(w http.ResponseWriter, r *http.Request, _ events.Actor) error {
	if err := srv.backend.RecordExternalChanges(r.Context()); err != nil {
		return err
	}
	return writeJSON(w, struct{}{})
}

func (srv *SocketServer) postStop(w http.ResponseWriter, _ *http.Request, _ events.Actor) error {
	srv.backend.Stop()
	return writeJSON(w, struct{}{})
}

func parsePosition(r *http.Request, name string) (events.Position, error) {
	v := r.FormValue(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(v, 10, 63)
	if err != nil {
		return 0, &events.Error{Op: "api.position", Kind: events.ErrUsage, Subject: name, Err: fmt.Errorf("%q is not a position", v)}
	}
	return events.Position(n), nil
}
